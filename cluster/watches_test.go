package cluster

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wire"
)

// interests counts who is watched.
type interests map[parley.UserID]int

func (interests) Connect(parley.UserID, parley.DeviceID)                {}
func (interests) Disconnect(parley.UserID, parley.DeviceID)             {}
func (interests) Online(context.Context, []parley.UserID, []bool) error { return nil }
func (i interests) Watch(users []parley.UserID)                         { i.change(users, 1) }
func (i interests) Unwatch(users []parley.UserID)                       { i.change(users, -1) }
func (i interests) change(users []parley.UserID, by int) {
	for _, u := range users {
		if i[u] += by; i[u] == 0 {
			delete(i, u)
		}
	}
}

// TestWatchesAgainstAModel plays random sessions in random conversations whose
// members come and go, and compares with what follows from two plain maps.
func TestWatchesAgainstAModel(t *testing.T) {
	const users, rooms, sessions = 12, 6, 20
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 1))
		interest := interests{}
		w := newWatches(1000, 1000)
		w.presence = interest
		user := func(n int) parley.UserID { return parley.UserID{byte(n + 1)} }
		room := func(n int) place { return place{0, parley.ConversationID{byte(n + 1)}} }
		members := make([]map[int]bool, rooms)
		for r := range members {
			members[r] = map[int]bool{0: true}
		}
		watching := map[int]map[int]bool{} // rooms, by session; session n is of user n % users
		for step := range 2000 {
			s, r, u := random.IntN(sessions), random.IntN(rooms), random.IntN(users)
			id, who := wire.SessionID(s+1), parley.Identity{User: user(s % users)}
			switch random.IntN(6) {
			case 0, 1, 2: // watch up to three rooms to which he belongs
				var places []place
				now := map[int]bool{}
				for range random.IntN(4) {
					if r := random.IntN(rooms); members[r][s%users] {
						places, now[r] = append(places, room(r)), true
					}
				}
				if err := w.set(id, w.ask(id, who), places); err != nil {
					t.Fatal(err)
				}
				for r := range now {
					_, err := w.fill(room(r), func() (list []parley.UserID, err error) {
						for u := range members[r] {
							list = append(list, user(u))
						}
						return list, nil
					})
					if err != nil {
						t.Fatal(err)
					}
				}
				watching[s] = now
			case 3: // somebody joins, perhaps again
				members[r][u] = true
				w.regroup(room(r), []parley.UserID{user(u)}, nil)
			case 4: // or goes
				delete(members[r], u)
				w.regroup(room(r), nil, []parley.UserID{user(u)})
				for s, rooms := range watching {
					if s%users == u {
						delete(rooms, r)
					}
				}
			default:
				delete(watching, s)
				w.ended(id)
			}
			check(t, w, interest, members, watching, step)
		}
		for s := range sessions {
			w.ended(wire.SessionID(s + 1))
		}
		if len(w.open)+len(w.users)+len(w.sessions)+len(interest)+w.pairs+w.members != 0 {
			t.Fatalf("seed %d: something is left: %+v, %v", seed, w, interest)
		}
	}
}

func check(t *testing.T, w *watches, interest interests, members []map[int]bool, watching map[int]map[int]bool, step int) {
	t.Helper()
	pairs, of := 0, 0
	open := make([]bool, len(members))
	for _, rooms := range watching {
		for r := range rooms {
			open[r] = true
			pairs++
		}
	}
	seers := map[int]int{}
	for r := range members {
		if !open[r] {
			continue
		}
		of += len(members[r])
		for u := range members[r] {
			for _, rooms := range watching {
				if rooms[r] {
					seers[u]++
				}
			}
		}
	}
	if gotPairs, gotOf := w.levels(); gotPairs != pairs || gotOf != of {
		t.Fatalf("step %d: %d watched with %d members, want %d with %d", step, gotPairs, gotOf, pairs, of)
	}
	total := 0
	for _, n := range interest {
		total += n
	}
	if total != of {
		t.Fatalf("step %d: %d interests in %d members", step, total, of)
	}
	for u := range 12 {
		got := w.seers(parley.UserID{byte(u + 1)})
		if len(got) != seers[u] || !slices.IsSortedFunc(got, func(a, b seer) int { return int(a.session) - int(b.session) }) {
			t.Fatalf("step %d: user %d is seen by %v, want %d", step, u, got, seers[u])
		}
	}
}
