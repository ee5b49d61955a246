package client

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	"github.com/parleychat/parley"
)

// MemoryStore keeps everything in memory, and loses it with the process. It is
// for tools and tests: it holds every message that it was given. Closing a
// client leaves it as it is, for the next one.
type MemoryStore struct {
	mu            sync.Mutex // guards below
	meta          Meta
	conversations map[parley.ConversationID]Conversation
	lanes         map[parley.ConversationID]Lane
	drafts        map[uint64]Draft
	messages      map[parley.ConversationID]*stretch
}

// stretch is the messages of one conversation. Sequences are mostly added at
// the end, so the order is kept by a sorted slice.
type stretch struct{ messages []Message }

// NewMemoryStore makes an empty store.
func NewMemoryStore() *MemoryStore {
	return &MemoryStore{
		meta:          Meta{NextDraft: 1},
		conversations: make(map[parley.ConversationID]Conversation),
		lanes:         make(map[parley.ConversationID]Lane),
		drafts:        make(map[uint64]Draft),
		messages:      make(map[parley.ConversationID]*stretch),
	}
}

// Load implements Store.
func (s *MemoryStore) Load() (*Saved, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	saved := &Saved{Meta: s.meta, Conversations: slices.Collect(maps.Values(s.conversations)), Lanes: slices.Collect(maps.Values(s.lanes))}
	for i := range saved.Conversations {
		saved.Conversations[i] = saved.Conversations[i].clone()
	}
	for _, id := range slices.Sorted(maps.Keys(s.drafts)) {
		saved.Drafts = append(saved.Drafts, s.drafts[id])
	}
	return saved, nil
}

// Apply implements Store.
func (s *MemoryStore) Apply(ch *Changes) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ch.Meta != nil {
		s.meta = *ch.Meta
	}
	for i := range ch.Conversations {
		s.conversations[ch.Conversations[i].ID] = ch.Conversations[i]
	}
	for _, l := range ch.Lanes {
		s.lanes[l.Conversation] = l
	}
	for i := range ch.Drafts {
		s.drafts[ch.Drafts[i].ID] = ch.Drafts[i]
	}
	for _, id := range ch.Dropped {
		delete(s.drafts, id)
	}
	for _, id := range ch.Gone {
		delete(s.conversations, id)
		delete(s.messages, id)
	}
	for _, cut := range ch.Cut {
		if st := s.messages[cut.Conversation]; st != nil {
			st.messages = slices.DeleteFunc(st.messages, func(m Message) bool { return cut.Range.Contains(m.Seq) })
		}
	}
	for i := range ch.Messages {
		s.put(ch.Messages[i])
	}
	return nil
}

func (s *MemoryStore) put(m Message) {
	st := s.messages[m.Conversation]
	if st == nil {
		st = &stretch{}
		s.messages[m.Conversation] = st
	}
	if i, found := st.find(m.Seq); found {
		st.messages[i] = m
	} else {
		st.messages = slices.Insert(st.messages, i, m)
	}
}

func (st *stretch) find(seq parley.Seq) (int, bool) {
	return slices.BinarySearchFunc(st.messages, seq, func(m Message, s parley.Seq) int { return cmp.Compare(m.Seq, s) })
}

// Messages implements Store.
func (s *MemoryStore) Messages(c parley.ConversationID, r parley.SeqRange, max int) ([]Message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.messages[c]
	if st == nil {
		return nil, nil
	}
	i, _ := st.find(r.From)
	var found []Message
	for ; i < len(st.messages) && st.messages[i].Seq <= r.To && len(found) < max; i++ {
		found = append(found, st.messages[i])
	}
	return found, nil
}

// Close implements Store.
func (s *MemoryStore) Close() error { return nil }
