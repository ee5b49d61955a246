package wire

import (
	"bytes"
	"testing"
)

// A message costs no allocation on its way through this package: its request is
// read, its receipt and its push are written.
func TestNoAllocations(t *testing.T) {
	if underRace {
		t.Skip("sync.Pool drops at random under the race detector")
	}
	var batch []byte
	for range 32 {
		batch = AppendRequest(batch, Binary, requests()["send"])
		batch = AppendRequest(batch, Binary, requests()["acknowledge"])
	}
	wireBytes := masked(Header{Fin: true, Opcode: OpBinary}, batch)
	frames := Reassembler{Server: true, Limit: 1 << 20}
	var d RequestDecoder
	sent, push := serverMessages()["sent"], serverMessages()["message"]
	buffer, out := make([]byte, len(wireBytes)), make([]byte, 0, 64<<10)

	allocs := testing.AllocsPerRun(200, func() {
		copy(buffer, wireBytes)
		m, n, err := frames.Next(buffer)
		if err != nil || n != len(buffer) {
			t.Fatal(n, err)
		}
		got, err := d.Decode(Binary, m.Payload)
		if err != nil || len(got) != 64 {
			t.Fatal(len(got), err)
		}
		out = out[:0]
		for range got {
			out = AppendServerMessage(out, Binary, sent)
			out = AppendServerMessage(out, Binary, push)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations for 64 requests", allocs)
	}

	var s ServerMessageDecoder
	payload := bytes.Clone(out)
	allocs = testing.AllocsPerRun(200, func() {
		if got, err := s.Decode(Binary, payload); err != nil || len(got) != 128 {
			t.Fatal(len(got), err)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations for 128 server messages", allocs)
	}
}
