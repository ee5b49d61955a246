package engine

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"github.com/parleychat/parley"
)

// streamsOf is streams that accepted the numbers 1 to last of each id, in order.
func streamsOf(last parley.Number, ids ...parley.StreamID) *Streams {
	s := &Streams{}
	for _, id := range ids {
		for n := parley.Number(1); n <= last; n++ {
			s.Accept(id, n, parley.Seq(n)*10, 7)
		}
	}
	return s
}

func TestDecide(t *testing.T) {
	known, other := born(100, 1), born(100, 2)
	for _, c := range []struct {
		what   string
		id     parley.StreamID
		number parley.Number
		hash   uint32
		want   Result
	}{
		{"first of a new stream", other, 1, 7, Result{}},
		{"second of a new stream", other, 2, 7, Result{Code: parley.RetryInOrder, Expected: 1}},
		{"none of a new stream", other, 0, 7, Result{Code: parley.BadRequest}},
		{"next", known, 4, 7, Result{}},
		{"next but one", known, 5, 7, Result{Code: parley.RetryInOrder, Expected: 4}},
		{"far ahead", known, math.MaxUint32, 7, Result{Code: parley.RetryInOrder, Expected: 4}},
		{"newest again", known, 3, 7, Result{Repeat: true, Seq: 30}},
		{"newest with another body", known, 3, 8, Result{Code: parley.NumberReused}},
		{"older again", known, 2, 7, Result{Repeat: true}},
		{"older with another body", known, 1, 8, Result{Repeat: true}},
		{"none", known, 0, 7, Result{Code: parley.BadRequest}},
	} {
		s := streamsOf(3, known)
		before := s.AppendTo(nil)
		if got := s.Decide(c.id, c.number, c.hash); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.what, got, c.want)
		}
		if !bytes.Equal(s.AppendTo(nil), before) {
			t.Errorf("%s: to decide changed the streams", c.what)
		}
	}
}

// A conversation remembers eight streams of a writer. The one unused for longest
// goes, and what was born no later than it is not taken for new.
func TestEviction(t *testing.T) {
	s := &Streams{}
	for i := range uint32(StreamsMax) {
		s.Accept(born(100+i, 1), 1, 1, 7)
	}
	if s.Forgotten != 0 {
		t.Fatalf("forgotten %d of %d streams", s.Forgotten, StreamsMax)
	}
	s.Accept(born(100, 1), 2, 2, 7) // used again: 101 is the oldest now
	s.Accept(born(200, 1), 1, 3, 7)
	if s.Forgotten != 101 {
		t.Errorf("forgotten %d, want 101", s.Forgotten)
	}
	if _, ok := s.Known(born(101, 1)); ok {
		t.Error("the stream unused for longest is known")
	}
	if k, ok := s.Known(born(100, 1)); !ok || k.Last != 2 || k.Seq != 2 {
		t.Errorf("a stream used lately: %+v, %v", k, ok)
	}
	for _, c := range []struct {
		what string
		id   parley.StreamID
		want Result
	}{
		{"forgotten", born(101, 1), Result{Code: parley.ResendUnknown}},
		{"unknown, of that second", born(101, 9), Result{Code: parley.ResendUnknown}},
		{"unknown, older", born(50, 9), Result{Code: parley.ResendUnknown}},
		{"unknown, younger", born(102, 9), Result{}},
		{"known, older", born(100, 1), Result{Repeat: true}},
	} {
		if got := s.Decide(c.id, 1, 7); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.what, got, c.want)
		}
	}
}

// What is forgotten stays forgotten when an older stream is forgotten later.
func TestForgottenOnlyRises(t *testing.T) {
	s := streamsOf(1, born(500, 1), born(20, 1))
	for i := range uint32(StreamsMax) {
		s.Accept(born(600+i, 1), 1, 1, 7)
	}
	if s.Forgotten != 500 {
		t.Errorf("forgotten %d, want 500", s.Forgotten)
	}
}

// A stream without a birth is forgotten like the others: never twice.
func TestEvictionWithoutBirth(t *testing.T) {
	s := &Streams{}
	for i := range uint32(StreamsMax) + 1 {
		if r := s.Decide(born(0, i+1), 1, 7); r.Code != parley.OK {
			t.Fatalf("stream %d: %v", i, r.Code)
		}
		s.Accept(born(0, i+1), 1, parley.Seq(i+1), 7)
	}
	if r := s.Decide(born(0, 1), 1, 7); r.Code != parley.ResendUnknown {
		t.Errorf("the forgotten stream again: %+v, want ResendUnknown", r)
	}
}

func TestStreamsTooShort(t *testing.T) {
	b := streamsOf(1, 1, 2, 3).AppendTo(nil)
	for n := range len(b) {
		var s Streams
		if _, err := s.Decode(b[:n]); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%d of %d bytes: %v, want ErrCorrupt", n, len(b), err)
		}
	}
	b[4] = StreamsMax + 1
	var s Streams
	if _, err := s.Decode(append(b, make([]byte, 1000)...)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("%d streams: %v, want ErrCorrupt", StreamsMax+1, err)
	}
}

// FuzzStreams decodes anything: what is taken is written again as it was, and
// the rest is handed back.
func FuzzStreams(f *testing.F) {
	f.Add([]byte{})
	f.Add((&Streams{}).AppendTo(nil))
	f.Add(streamsOf(3, born(5, 1), born(6, 2)).AppendTo(nil))
	f.Add(append(streamsOf(1, 1, 2, 3, 4, 5, 6, 7, 8, 9).AppendTo(nil), "rest"...))
	f.Fuzz(func(t *testing.T, b []byte) {
		var s Streams
		rest, err := s.Decode(b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("%v, want ErrCorrupt", err)
			}
			return
		}
		if again := append(s.AppendTo(nil), rest...); !bytes.Equal(again, b) {
			t.Fatalf("%x was written again as %x", b, again)
		}
	})
}
