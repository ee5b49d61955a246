package engine

import "iter"

// rows are those of a partition by their keys. Conversations stand apart: they
// are most of all rows and are looked up several times for each message, and a
// short key is half the way to a slot that is not in the cache.
type rows struct {
	conversations map[[16]byte]*Slot
	others        map[Key]*Slot
}

func newRows() rows {
	return rows{conversations: make(map[[16]byte]*Slot), others: make(map[Key]*Slot)}
}

// find is the slot of a key, also of a row that was removed and is not flushed.
func (r *rows) find(k Key) *Slot {
	if k.Table == TableConversation && k.B == [16]byte{} {
		return r.conversations[k.A]
	}
	return r.others[k]
}

func (r *rows) put(s *Slot) {
	if s.key.Table == TableConversation && s.key.B == [16]byte{} {
		r.conversations[s.key.A] = s
		return
	}
	r.others[s.key] = s
}

// drop takes away the slot of a removed row. A conversation's stays for ever.
func (r *rows) drop(s *Slot) { delete(r.others, s.key) }

func (r *rows) len() int { return len(r.conversations) + len(r.others) }

// all yields every slot, in no order.
func (r *rows) all() iter.Seq[*Slot] {
	return func(yield func(*Slot) bool) {
		for _, s := range r.conversations {
			if !yield(s) {
				return
			}
		}
		for _, s := range r.others {
			if !yield(s) {
				return
			}
		}
	}
}
