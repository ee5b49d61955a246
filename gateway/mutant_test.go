//go:build mutants

package gateway

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/internal/mutant"
	"github.com/parleychat/parley/wire"
)

// TestLostPushesAreTold runs with PARLEY_MUTANT=push-dropped: no push arrives,
// and the client learns how many there were.
func TestLostPushesAreTold(t *testing.T) {
	if !mutant.On(mutant.PushDropped) {
		t.Skip("PARLEY_MUTANT is not push-dropped")
	}
	synctest.Test(t, func(t *testing.T) {
		s, b := newFakeServer(t, Options{})
		f := connect(t, s, "ann", wire.Binary, time.Time{})
		for i := range uint64(5) {
			s.Push([]parley.UserID{user("ann")}, 0, message(i+1))
		}
		s.Flush()
		time.Sleep(checkAfter + 2*tick)
		synctest.Wait()
		told := uint64(0)
		for _, m := range f.got() {
			if m.Message != nil {
				t.Errorf("pushed %v", m)
			}
			told = max(told, m.Check.GetPushes())
		}
		if told != 5 {
			t.Errorf("told of %d pushes", told)
		}
		closeFake(t, s, b, f)
	})
}
