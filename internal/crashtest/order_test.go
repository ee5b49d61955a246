package crashtest

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/client"
	"github.com/parleychat/parley/wire"
)

// pipelineLength is how many messages the pipelines of these tests have, and
// pipelineBad the one in the middle that is refused.
const (
	pipelineLength = 32
	pipelineBad    = 10
)

// tooLarge is a body that goes into a frame, and that no server takes.
var tooLarge = strings.Repeat("x", 62<<10)

func wants() (texts []string) {
	for n := 1; n <= pipelineLength; n++ {
		if n != pipelineBad {
			texts = append(texts, fmt.Sprintf("%d ann: %d", len(texts)+1, n))
		}
	}
	return texts
}

// One of a pipeline is refused for good: none behind it overtakes it, and all of
// them are taken in order once its number is used again. A number that is used
// for another body is told so.
func TestRefusalInAPipeline(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	s := mustStart(t, launch{dir: dir})
	ann, bob := openLine(t, s, dir, "ann", wire.Binary), openLine(t, s, dir, "bob", wire.JSON)
	room, stream := ann.direct("bob"), ann.conn.Welcome().Stream
	var before, behind []*wire.Request
	for n := uint32(1); n <= pipelineLength; n++ {
		q := draft(room, stream, n, fmt.Sprint(n))
		q.Id = 1000 + n
		if n < pipelineBad {
			before = append(before, q)
		} else if n > pipelineBad {
			behind = append(behind, q)
		}
	}
	bad := draft(room, stream, pipelineBad, tooLarge)
	bad.Id = 1000 + pipelineBad
	if err := errors.Join(ann.conn.Write(before...), ann.conn.Write(bad), ann.conn.Write(behind...)); err != nil {
		t.Fatal(err)
	}
	// Answers may overtake each other: a refusal at once need not wait for a disk.
	answers := make(map[uint32]*wire.ServerMessage)
	for len(answers) < pipelineLength {
		m, err := ann.read(func(m *wire.ServerMessage) bool { return m.ReplyTo > 1000 && answers[m.ReplyTo-1000] == nil })
		if err != nil {
			t.Fatal(err)
		}
		answers[m.ReplyTo-1000] = m
	}
	for n := uint32(1); n <= pipelineLength; n++ {
		m := answers[n]
		switch {
		case n < pipelineBad && m.Sent.GetSeq() != uint64(n),
			n == pipelineBad && m.Error.GetCode() != uint32(parley.TooLarge),
			n > pipelineBad && (m.Error.GetCode() != uint32(parley.RetryInOrder) || m.Error.GetExpected() != pipelineBad):
			t.Errorf("the answer to number %d is %v", n, m)
		}
	}
	for n := uint32(pipelineBad); n < pipelineLength; n++ {
		if m := ann.ask(draft(room, stream, n, fmt.Sprint(n+1))); m.Sent.GetSeq() != uint64(n) {
			t.Errorf("number %d, sent again: %v", n, m)
		}
	}
	if got := bob.texts(room); !slices.Equal(got, wants()) {
		t.Errorf("the room is %q", got)
	}
	for _, n := range []uint32{3, pipelineLength - 1} {
		if m := ann.ask(draft(room, stream, n, "another")); m.Error.GetCode() != uint32(parley.NumberReused) {
			t.Errorf("number %d with another body: %v", n, m)
		}
	}
}

// The same through the SDK: its outbox is filled before it knows of any limit,
// one draft is refused, and all others arrive in their order.
func TestRefusalInAnOutbox(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	s := mustStart(t, launch{dir: dir})
	openLine(t, s, dir, "ann", wire.Binary)
	bob := openLine(t, s, dir, "bob", wire.Binary)
	room := bob.direct("ann")
	phone := newDevice(t, s, dir, "ann", "phone")
	drafts := make(map[int]uint64)
	for n := 1; n <= pipelineLength; n++ {
		text := fmt.Sprint(n)
		if n == pipelineBad {
			text = tooLarge
		}
		d, err := phone.SendText(room, text)
		if err != nil {
			t.Fatal(err)
		}
		drafts[n] = d.ID
	}
	phone.open()
	eventually(t, patience, "every draft is answered", func() bool {
		for _, id := range drafts {
			if d, err := phone.Draft(id); err != nil || d.Status == client.Queued {
				return false
			}
		}
		return true
	})
	if d, err := phone.Draft(drafts[pipelineBad]); err != nil || d.Status != client.Failed || !errors.Is(d.Err(), parley.TooLarge) {
		t.Errorf("the large draft is %v: %v, %v", d.Status, d.Err(), err)
	}
	if got := bob.texts(room); !slices.Equal(got, wants()) {
		t.Errorf("the room is %q", got)
	}
}
