package wire

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"
)

// The decoder never panics; what it accepts, it reads again from what is
// written of it; and another implementation understands the same.
func FuzzRequestBinary(f *testing.F) { fuzzRequests(f, Binary) }

// The same for JSON.
func FuzzRequestJSON(f *testing.F) { fuzzRequests(f, JSON) }

func fuzzRequests(f *testing.F, p Subprotocol) {
	var batch []byte
	for name := range requests() {
		b := readGolden(f, "request_"+name, p)
		f.Add(b)
		batch = append(batch, b...)
	}
	f.Add(batch)
	f.Fuzz(func(t *testing.T, payload []byte) {
		var d, again RequestDecoder
		got, err := d.Decode(p, payload)
		if err != nil {
			return
		}
		for i, r := range got {
			if i == RequestsPerFrameMax {
				t.Fatal("more requests than a frame may hold")
			}
			for _, q := range []Subprotocol{Binary, JSON} {
				written := AppendRequest(nil, q, r)
				back, err := again.Decode(q, written)
				if err != nil || len(back) != 1 || !proto.Equal(known(r), known(back[0])) {
					t.Fatalf("%v is read from %q as %v, %v", r, written, back, err)
				}
			}
		}
		if p == Binary {
			compare(t, payload, got, func() *Request { return new(Request) })
		}
	})
}

// known is a message without the fields that we do not know, at any level: JSON
// does not carry them on, and other implementations write them otherwise.
func known[M proto.Message](m M) M {
	b, err := proto.MarshalOptions{AllowPartial: true}.Marshal(m)
	if err != nil {
		return m // a string is not UTF-8, which only servers are trusted to send
	}
	c := proto.CloneOf(m)
	proto.Reset(c)
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(b, c); err != nil {
		return m
	}
	return c
}

// compare reads a payload with the reflecting implementation of Protobuf.
func compare[M proto.Message](t *testing.T, payload []byte, got []M, fresh func() M) {
	t.Helper()
	in := bytes.NewReader(payload)
	for i, m := range got {
		theirs := fresh()
		if err := protodelim.UnmarshalFrom(in, theirs); err != nil {
			return // it is stricter in what nobody sends: field numbers past the limit, groups
		}
		if !proto.Equal(known(m), known(theirs)) {
			t.Fatalf("message %d is %v, to others %v", i, m, theirs)
		}
	}
}

func FuzzServerMessageBinary(f *testing.F) { fuzzServerMessages(f, Binary) }

func FuzzServerMessageJSON(f *testing.F) { fuzzServerMessages(f, JSON) }

func fuzzServerMessages(f *testing.F, p Subprotocol) {
	var batch []byte
	for name := range serverMessages() {
		b := readGolden(f, "server_"+name, p)
		f.Add(b)
		batch = append(batch, b...)
	}
	f.Add(batch)
	f.Fuzz(func(t *testing.T, payload []byte) {
		var d, again ServerMessageDecoder
		got, err := d.Decode(p, payload)
		if err != nil {
			return
		}
		for _, m := range got {
			written := AppendServerMessage(nil, p, m)
			back, err := again.Decode(p, written)
			if err != nil || len(back) != 1 || !proto.Equal(known(m), known(back[0])) {
				t.Fatalf("%v is read from %q as %v, %v", m, written, back, err)
			}
			AppendServerMessage(nil, JSON, m) // of any text
		}
		if p == Binary {
			compare(t, payload, got, func() *ServerMessage { return new(ServerMessage) })
		}
	})
}

// The reassembler never panics, and how the bytes are split makes no
// difference.
func FuzzReassembler(f *testing.F) {
	f.Add(true, uint64(1), join(frame(false, OpText, "a€"), frame(true, OpPing, "p"), frame(true, OpContinuation, "b")))
	f.Add(true, uint64(2), join(frame(true, OpBinary, "\xff"), frame(true, OpClose, "\x03\xe8bye"), frame(true, OpText, "x")))
	f.Add(true, uint64(3), join(frame(false, OpText, "\xf0\x9f"), frame(true, OpContinuation, "\x91\x8b")))
	f.Add(true, uint64(4), join(frame(false, OpBinary, "a"), longForm(0x80, 1<<63-1)))
	f.Add(false, uint64(5), unmasked(Header{Fin: true, Opcode: OpBinary}, make([]byte, 300)))
	f.Fuzz(func(t *testing.T, server bool, seed uint64, in []byte) {
		const limit = 512
		whole := Reassembler{Server: server, Limit: limit}
		want := feed(t, &whole, in, atOnce)
		for _, m := range want.frames {
			if len(m.Payload) > limit || m.Opcode.Control() && len(m.Payload) > controlMax {
				t.Fatalf("%v of %d bytes", m.Opcode, len(m.Payload))
			}
		}
		random := rand.New(rand.NewPCG(seed, 0))
		for _, pieces := range []func(int) int{oneByOne, func(left int) int { return 1 + random.IntN(min(left, 20)) }} {
			split := Reassembler{Server: server, Limit: limit}
			got := feed(t, &split, in, pieces)
			if got.code != 0 {
				got.left = want.left // the pieces that never came
			}
			if got.String() != want.String() {
				t.Fatalf("in pieces %v\nat once %v", got, want)
			}
		}
	})
}

// A message comes out as it went in, however it is cut into frames and
// whatever comes between them.
func FuzzFrames(f *testing.F) {
	f.Add(true, uint64(1), true, []byte("Grüße €👋"))
	f.Add(false, uint64(2), false, bytes.Repeat([]byte{0xff}, 700))
	f.Fuzz(func(t *testing.T, server bool, seed uint64, text bool, payload []byte) {
		payload = payload[:min(len(payload), 1<<20)]
		random := rand.New(rand.NewPCG(seed, 0))
		op := OpBinary
		if text {
			op, payload = OpText, bytes.ToValidUTF8(payload, []byte("?"))
		}
		in := cut(random, server, op, payload)
		r := Reassembler{Server: server, Limit: 4 << 20}
		got := feed(t, &r, in, func(left int) int { return 1 + random.IntN(left) })
		var messages []Frame
		for _, m := range got.frames {
			if m.Opcode != OpPing {
				messages = append(messages, m)
			}
		}
		if got.code != 0 || got.left != 0 || len(messages) != 1 || messages[0].Opcode != op || !bytes.Equal(messages[0].Payload, payload) {
			t.Fatalf("%.200s", got)
		}
	})
}

// cut makes up to five frames of a message, with pings between them.
func cut(random *rand.Rand, server bool, op Opcode, payload []byte) []byte {
	var in []byte
	write := func(h Header, payload []byte) {
		if server {
			in = append(in, masked(h, payload)...)
		} else {
			in = append(in, unmasked(h, payload)...)
		}
	}
	for left := random.IntN(5); ; left-- {
		n := len(payload)
		if left > 0 {
			n = random.IntN(len(payload) + 1)
		}
		write(Header{Fin: left == 0, Opcode: op}, payload[:n])
		payload, op = payload[n:], OpContinuation
		if left == 0 {
			return in
		}
		write(Header{Fin: true, Opcode: OpPing}, []byte("\xff"))
	}
}
