package chat

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"unicode/utf8"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/engine"
)

// subjectMax bounds a token's subject, in bytes.
const subjectMax = 128

// Login is what a user's device is given at the handshake.
type Login struct {
	parley.Identity
	// Stream is a fresh outbox. A device that has kept one goes on with that.
	Stream      parley.StreamID
	Incarnation parley.Incarnation
}

// A user has two rows, one leading from the subject to the id and one back. A
// command changes one partition, so both lie in the same: the id is drawn until
// it falls where the subject's hash does. Neither place depends on the tenant,
// for the hash holds it and an id is one of all tenants'.
func subjectKey(tenant parley.TenantID, subject string) engine.Key {
	in := make([]byte, 0, 4+subjectMax)
	in = binary.LittleEndian.AppendUint32(in, uint32(tenant))
	sum := sha256.Sum256(append(in, subject...))
	return engine.Key{Table: tableSubject, A: [16]byte(sum[:16])}
}

func userKey(u parley.UserID) engine.Key { return engine.Key{Table: tableUser, A: u} }

// place is the partition of a user's rows, by the A of either key.
func (s *Service) place(a [16]byte) parley.PartitionID {
	return s.engine.Partition(parley.DefaultTenant, a)
}

// user gives a subject its id. A second command for it finds the first one's.
func (m *Machine) user(tx *engine.Tx, c *engine.Command, d *decoder) engine.Result {
	id, text := d.user(), d.text()
	if !d.whole() || text == "" {
		return refuse(parley.BadRequest)
	}
	key := subjectKey(c.Tenant, text)
	if !tx.Owns(parley.DefaultTenant, key.A) || !tx.Owns(parley.DefaultTenant, id) {
		return refuse(parley.BadRequest)
	}
	if tx.Find(key) != nil {
		return engine.Result{Repeat: true}
	}
	if tx.Find(userKey(id)) != nil {
		return refuse(parley.AlreadyExists)
	}
	tx.Insert(key, &subject{id: id})
	tx.Insert(userKey(id), &user{tenant: c.Tenant, created: tx.Time(), subject: text})
	return engine.Result{}
}

// Login finds the user of a token's subject, or makes one at the first login,
// and writes down that one of his devices has come; only where the disk is nearly
// full, a user who is known comes in without. It is parley.Revoked where he has
// shut the device out, or the token that it comes with. When ctx ends first, the
// device may still be written down: the Identity says whose, to say that it is gone.
func (s *Service) Login(ctx context.Context, tenant parley.TenantID, subject string, d Device) (Login, error) {
	if subject == "" || len(subject) > subjectMax || !utf8.ValidString(subject) {
		return Login{}, fmt.Errorf("%w: subject of %d bytes", parley.BadRequest, len(subject))
	}
	id, ok := s.User(tenant, subject)
	if !ok {
		p := s.place(subjectKey(tenant, subject).A)
		fresh := s.drawUser(p)
		if err := s.append(ctx, p, tenant, kindUser, appendUser(nil, fresh, subject)); err != nil {
			return Login{}, err
		}
		if id, ok = s.User(tenant, subject); !ok {
			return Login{}, parley.Unavailable
		}
	}
	who := parley.Identity{Tenant: tenant, User: id}
	if err := s.connect(ctx, who, &d); err != nil {
		return Login{Identity: who}, err
	}
	return Login{
		Identity: who,
		Stream:   s.newStream(), Incarnation: s.engine.Incarnation(),
	}, nil
}

// drawUser draws an id in a partition. It takes as many draws as there are
// partitions, a tenth of a microsecond each.
func (s *Service) drawUser(p parley.PartitionID) parley.UserID {
	for {
		if id := randomUUID(); s.place(id) == p {
			return id
		}
	}
}

// User finds a user by the subject of his token.
func (s *Service) User(tenant parley.TenantID, text string) (id parley.UserID, ok bool) {
	key := subjectKey(tenant, text)
	s.engine.View(s.place(key.A), func(v *engine.View) {
		slot := v.Find(key)
		if slot == nil {
			return
		}
		found := slot.Row().(*subject).id
		if back := v.Find(userKey(found)); back != nil {
			u := back.Row().(*user)
			id, ok = found, u.subject == text && u.tenant == tenant
		}
	})
	return id, ok
}

// Users finds users by their subjects, in the same order. The error matches
// parley.UnknownUser and names the first who never logged in.
func (s *Service) Users(tenant parley.TenantID, subjects []string) ([]parley.UserID, error) {
	if len(subjects) > usersMax {
		return nil, fmt.Errorf("%w: %d users at once, at most %d", parley.GroupFull, len(subjects), usersMax)
	}
	users := make([]parley.UserID, len(subjects))
	for i, subject := range subjects {
		var ok bool
		if len(subject) <= subjectMax {
			users[i], ok = s.User(tenant, subject)
		}
		if !ok {
			return nil, fmt.Errorf("%w: %q", parley.UnknownUser, subject[:min(len(subject), subjectMax)])
		}
	}
	return users, nil
}

// Subject is how a user is known outside: the subject of his token. It is
// called for every message that is delivered, and allocates nothing.
func (s *Service) Subject(u parley.UserID) (text string, ok bool) {
	s.engine.View(s.place(u), func(v *engine.View) {
		if slot := v.Find(userKey(u)); slot != nil {
			text, ok = slot.Row().(*user).subject, true
		}
	})
	return text, ok
}

func randomUUID() (id [16]byte) {
	_, _ = rand.Read(id[:]) // never fails: crypto/rand ends the process instead
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
}

// newStream gives out an outbox: its birth, so that a forgotten stream is known
// for an old one, and 32 random bits.
func (s *Service) newStream() parley.StreamID {
	var b [4]byte
	_, _ = rand.Read(b[:])
	return parley.StreamID(uint64(uint32(s.now().Unix()))<<32 | uint64(binary.LittleEndian.Uint32(b[:])))
}
