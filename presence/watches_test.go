package presence

import (
	"testing"

	"github.com/parleychat/parley"
)

// TestLateAnswer: an answer that was on its way when the change was found is what
// the caller hears last. He has to be told again.
func TestLateAnswer(t *testing.T) {
	w, ann := newWatches(), parley.UserID{1}
	list := []parley.UserID{ann}
	w.add(list)
	if taken := w.take(nil, 10); len(taken) != 1 {
		t.Fatalf("taken %v", taken)
	}
	if w.settle(ann, true, nil) {
		t.Error("told before anything was answered")
	}
	if !w.settle(ann, false, nil) {
		t.Error("a change was not told")
	}
	w.answered(list, []bool{true}) // asked before the change
	if taken := w.take(nil, 10); len(taken) != 1 {
		t.Error("he is not looked at again")
	}
	if !w.settle(ann, false, nil) {
		t.Error("the caller believes the late answer")
	}
	if w.settle(ann, false, nil) {
		t.Error("told twice")
	}
	w.answered(list, []bool{false})
	if taken := w.take(nil, 10); len(taken) != 0 {
		t.Error("looked at again for an answer that he knew")
	}
}

// TestFirstAnswer: what changed after the first answer is told, also if nobody had
// looked yet.
func TestFirstAnswer(t *testing.T) {
	w, ann := newWatches(), parley.UserID{1}
	w.add([]parley.UserID{ann})
	w.take(nil, 10)
	w.answered([]parley.UserID{ann}, []bool{true})
	if taken := w.take(nil, 10); len(taken) != 1 {
		t.Error("he is not looked at again")
	}
	if !w.settle(ann, false, nil) {
		t.Error("a change was not told")
	}
}
