package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

var testKey = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// masked is a whole frame as a client sends it.
func masked(h Header, payload []byte) []byte {
	h.Masked, h.Key, h.Length = true, testKey, len(payload)
	b := AppendHeader(nil, h)
	n := len(b)
	b = append(b, payload...)
	Mask(b[n:], testKey)
	return b
}

// unmasked is a whole frame as a server sends it.
func unmasked(h Header, payload []byte) []byte {
	h.Length = len(payload)
	return append(AppendHeader(nil, h), payload...)
}

// text, frag and so on are frames of a client, in short.
func frame(fin bool, op Opcode, payload string) []byte {
	return masked(Header{Fin: fin, Opcode: op}, []byte(payload))
}

func join(frames ...[]byte) []byte { return bytes.Join(frames, nil) }

// received is all that a Reassembler made of some bytes.
type received struct {
	frames []Frame
	code   CloseCode // of the error
	left   int       // bytes not consumed
}

func (r received) String() string {
	var b strings.Builder
	for _, f := range r.frames {
		fmt.Fprintf(&b, "%v %q, ", f.Opcode, f.Payload)
	}
	fmt.Fprintf(&b, "code %d, %d left", r.code, r.left)
	return b.String()
}

// feed gives bytes to a Reassembler as a connection would: in pieces, behind
// what it left of the piece before.
func feed(t testing.TB, r *Reassembler, in []byte, pieces func(left int) int) received {
	var got received
	var buffer []byte
	for len(in) > 0 && got.code == 0 {
		n := pieces(len(in))
		buffer = append(bytes.Clone(buffer), in[:n]...) // always moved
		in = in[n:]
		for len(buffer) > 0 && got.code == 0 {
			m, n, err := r.Next(buffer)
			if err != nil {
				var p *ProtocolError
				if !errors.As(err, &p) {
					t.Fatalf("%v is no ProtocolError", err)
				}
				got.code = p.Code
				break
			}
			if n == 0 {
				break
			}
			if m.Opcode != OpContinuation {
				got.frames = append(got.frames, Frame{Opcode: m.Opcode, Payload: bytes.Clone(m.Payload)})
			}
			buffer = buffer[n:]
		}
	}
	got.left = len(buffer)
	return got
}

func atOnce(left int) int { return left }
func oneByOne(_ int) int  { return 1 }

// The examples of RFC 6455, section 5.7.
func TestExamplesOfTheRFC(t *testing.T) {
	ping := []byte{0x89, 0x05, 'H', 'e', 'l', 'l', 'o'}
	for name, c := range map[string]struct {
		server bool
		in     []byte
		want   string
	}{
		"unmasked text": {false, []byte{0x81, 0x05, 'H', 'e', 'l', 'l', 'o'}, `text "Hello", code 0, 0 left`},
		"masked text":   {true, []byte{0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58}, `text "Hello", code 0, 0 left`},
		"fragments":     {false, join([]byte{0x01, 0x03, 'H', 'e', 'l'}, []byte{0x80, 0x02, 'l', 'o'}), `text "Hello", code 0, 0 left`},
		"ping":          {false, ping, `ping "Hello", code 0, 0 left`},
		"masked pong":   {true, []byte{0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58}, `pong "Hello", code 0, 0 left`},
	} {
		r := Reassembler{Server: c.server}
		if got := feed(t, &r, bytes.Clone(c.in), atOnce).String(); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	if got := AcceptKey("dGhlIHNhbXBsZSBub25jZQ=="); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Errorf("accept key %s", got)
	}
}

func TestMessages(t *testing.T) {
	close1000 := string(AppendClose(nil, CloseNormal, "bye"))
	for name, c := range map[string]struct {
		in   []byte
		want string
	}{
		"empty text":               {frame(true, OpText, ""), `text "", code 0, 0 left`},
		"empty binary":             {frame(true, OpBinary, ""), `binary "", code 0, 0 left`},
		"two":                      {join(frame(true, OpText, "a"), frame(true, OpBinary, "\xff")), `text "a", binary "\xff", code 0, 0 left`},
		"125, 126 and 65536 bytes": {frame(true, OpBinary, strings.Repeat("x", 125)), fmt.Sprintf("binary %q, code 0, 0 left", strings.Repeat("x", 125))},
		"three fragments":          {join(frame(false, OpText, "a"), frame(false, OpContinuation, "b"), frame(true, OpContinuation, "c")), `text "abc", code 0, 0 left`},
		"empty fragments":          {join(frame(false, OpBinary, ""), frame(false, OpContinuation, ""), frame(true, OpContinuation, "")), `binary "", code 0, 0 left`},
		"a ping between":           {join(frame(false, OpText, "a"), frame(true, OpPing, "p"), frame(true, OpContinuation, "c")), `ping "p", text "ac", code 0, 0 left`},
		"a close between":          {join(frame(false, OpText, "a"), frame(true, OpClose, close1000), frame(true, OpContinuation, "c")), `close "\x03\xe8bye", code 0, 0 left`},
		"a letter in two":          {join(frame(false, OpText, "\xe2\x82"), frame(true, OpPing, "\xff"), frame(true, OpContinuation, "\xac")), `ping "\xff", text "€", code 0, 0 left`},
		"a letter in four":         {join(frame(false, OpText, "\xf0"), frame(false, OpContinuation, "\x9f"), frame(false, OpContinuation, "\x91"), frame(true, OpContinuation, "\x8b")), `text "👋", code 0, 0 left`},
		"binary is not text":       {join(frame(false, OpBinary, "\xff"), frame(true, OpContinuation, "\xfe")), `binary "\xff\xfe", code 0, 0 left`},
		"an empty close":           {frame(true, OpClose, ""), `close "", code 0, 0 left`},
		"nothing after a close":    {join(frame(true, OpClose, ""), []byte("rubbish")), `close "", code 0, 0 left`},
		"torn header":              {frame(true, OpText, "abc")[:5], `code 0, 5 left`},
		"torn payload":             {frame(true, OpText, "abc")[:8], `code 0, 8 left`},
		"the longest control":      {frame(true, OpPing, strings.Repeat("p", 125)), fmt.Sprintf("ping %q, code 0, 0 left", strings.Repeat("p", 125))},
	} {
		for how, pieces := range map[string]func(int) int{"at once": atOnce, "byte by byte": oneByOne} {
			r := Reassembler{Server: true}
			if got := feed(t, &r, c.in, pieces).String(); got != c.want {
				t.Errorf("%s, %s: %s, want %s", name, how, got, c.want)
			}
		}
	}
}

func TestLengths(t *testing.T) {
	for _, size := range []int{0, 1, 125, 126, 127, 65535, 65536, 70000} {
		for _, server := range []bool{true, false} {
			h := Header{Fin: true, Opcode: OpBinary, Masked: server, Length: size}
			if server {
				h.Key = testKey
			}
			b := AppendHeader(nil, h)
			for short := range len(b) {
				if got, n, err := ParseHeader(b[:short]); n != 0 || err != nil {
					t.Errorf("%d of %d bytes: %+v, %d, %v", short, len(b), got, n, err)
				}
			}
			if got, n, err := ParseHeader(append(b, 9)); got != h || n != len(b) || err != nil {
				t.Errorf("%+v, %d, %v; want %+v, %d", got, n, err, h, len(b))
			}
			if len(b) > HeaderMax {
				t.Errorf("a header of %d bytes", len(b))
			}
		}
	}
}

// longForm is a client's header with its length in eight bytes.
func longForm(first byte, length uint64) []byte {
	b := binary.BigEndian.AppendUint64([]byte{first, 0xff}, length)
	return append(b, testKey[:]...)
}

func TestRefusedFrames(t *testing.T) {
	const limit = 1000
	closing := func(code uint16, reason string) []byte {
		return frame(true, OpClose, string(binary.BigEndian.AppendUint16(nil, code))+reason)
	}
	for name, c := range map[string]struct {
		in   []byte
		code CloseCode
		at   int // byte after which it must be refused; 0: not checked
	}{
		"RSV1":                          {[]byte{0xc1}, 1002, 1},
		"RSV2":                          {[]byte{0xa1}, 1002, 1},
		"RSV3":                          {[]byte{0x91}, 1002, 1},
		"RSV1 on a ping":                {[]byte{0xc9}, 1002, 1},
		"RSV1 on a continuation":        {join(frame(false, OpText, "a"), []byte{0xc0}), 1002, 8},
		"opcode 3":                      {[]byte{0x83}, 1002, 1},
		"opcode 7":                      {[]byte{0x87}, 1002, 1},
		"opcode 11":                     {[]byte{0x8b}, 1002, 1},
		"opcode 15":                     {[]byte{0x8f}, 1002, 1},
		"a ping in fragments":           {[]byte{0x09}, 1002, 1},
		"a close in fragments":          {[]byte{0x08}, 1002, 1},
		"a ping of 126 bytes":           {[]byte{0x89, 0xfe}, 1002, 2},
		"a close of 2^16 bytes":         {[]byte{0x88, 0xff}, 1002, 2},
		"not masked":                    {[]byte{0x81, 0x05}, 1002, 2},
		"a pong not masked":             {[]byte{0x8a, 0x00}, 1002, 2},
		"126 for 125":                   {[]byte{0x82, 0xfe, 0, 125}, 1002, 4},
		"126 for 0":                     {[]byte{0x82, 0xfe, 0, 0}, 1002, 4},
		"127 for 65535":                 {longForm(0x82, 65535), 1002, 10},
		"127 for 5":                     {longForm(0x82, 5), 1002, 10},
		"a length of 2^63":              {longForm(0x82, 1<<63), 1002, 10},
		"a length of 2^64-1":            {longForm(0x82, 1<<64-1), 1002, 10},
		"a length of 2^63-1":            {longForm(0x82, 1<<63-1), 1009, 14},
		"a fragment, then 2^63-1":       {join(frame(false, OpBinary, "a"), longForm(0x80, 1<<63-1)), 1009, 21},
		"one byte over the limit":       {frame(true, OpBinary, strings.Repeat("x", limit+1)), 1009, 8},
		"over the limit in fragments":   {join(frame(false, OpBinary, strings.Repeat("x", limit)), frame(false, OpContinuation, "x")), 1009, 0},
		"a fragment of nothing":         {[]byte{0x80}, 1002, 1},
		"a first fragment that goes on": {[]byte{0x00}, 1002, 1},
		"text inside text":              {join(frame(false, OpText, "a"), []byte{0x81}), 1002, 8},
		"binary inside text":            {join(frame(false, OpText, "a"), []byte{0x02}), 1002, 8},
		"a fragment after the last":     {join(frame(false, OpText, "a"), frame(true, OpContinuation, "b"), []byte{0x80}), 1002, 15},
		"not UTF-8":                     {frame(true, OpText, "ab\xffcd"), 1007, 9},
		"overlong":                      {frame(true, OpText, "\xc0\xafcd"), 1007, 7},
		"overlong in three":             {frame(true, OpText, "\xe0\x80\xafcd"), 1007, 8},
		"a surrogate":                   {frame(true, OpText, "\xed\xa0\x80cd"), 1007, 8},
		"above U+10FFFF":                {frame(true, OpText, "\xf4\x90\x80\x80cd"), 1007, 8},
		"half a letter":                 {frame(true, OpText, "ab\xe2\x82"), 1007, 0},
		"half a letter in fragments":    {join(frame(false, OpText, "\xe2"), frame(true, OpContinuation, "\x82")), 1007, 0},
		"broken over fragments":         {join(frame(false, OpText, "\xe2\x82"), frame(true, OpContinuation, "aXX")), 1007, 15},
		"broken over an empty one":      {join(frame(false, OpText, "\xe2\x82"), frame(false, OpContinuation, ""), frame(true, OpContinuation, "aXX")), 1007, 21},
		"a close of one byte":           {frame(true, OpClose, "\x03"), 1002, 0},
		"close 0":                       {closing(0, ""), 1002, 0},
		"close 999":                     {closing(999, ""), 1002, 0},
		"close 1004":                    {closing(1004, ""), 1002, 0},
		"close 1005":                    {closing(1005, ""), 1002, 0},
		"close 1006":                    {closing(1006, ""), 1002, 0},
		"close 1015":                    {closing(1015, ""), 1002, 0},
		"close 1016":                    {closing(1016, ""), 1002, 0},
		"close 1100":                    {closing(1100, ""), 1002, 0},
		"close 2000":                    {closing(2000, ""), 1002, 0},
		"close 2999":                    {closing(2999, ""), 1002, 0},
		"close 5000":                    {closing(5000, ""), 1002, 0},
		"close 65535":                   {closing(65535, ""), 1002, 0},
		"a reason that is not UTF-8":    {closing(1000, "a\xff"), 1007, 0},
		"half a letter as the reason":   {closing(1000, "\xe2\x82"), 1007, 0},
	} {
		r := Reassembler{Server: true, Limit: limit}
		if got := feed(t, &r, c.in, atOnce); got.code != c.code {
			t.Errorf("%s: %v, want code %d", name, got, c.code)
		}
		// A refused connection stays refused, whatever follows.
		if _, n, err := r.Next(frame(true, OpPing, "")); err == nil || n != 0 {
			t.Errorf("%s: goes on after it was refused", name)
		}
		checkEarly(t, name, limit, c.in, c.code, c.at)
	}
}

// checkEarly feeds byte by byte: a flaw is refused at the byte that shows it.
func checkEarly(t *testing.T, name string, limit int, in []byte, code CloseCode, at int) {
	t.Helper()
	r := Reassembler{Server: true, Limit: limit}
	fed := 0
	got := feed(t, &r, in, func(int) int { fed++; return 1 })
	if got.code != code {
		t.Errorf("%s, byte by byte: %v, want code %d", name, got, code)
	}
	if at != 0 && fed != at {
		t.Errorf("%s: refused after %d bytes, want %d", name, fed, at)
	}
}

func TestClientRefusesMaskedFrames(t *testing.T) {
	var r Reassembler
	if got := feed(t, &r, frame(true, OpText, "a"), atOnce); got.code != CloseProtocol {
		t.Errorf("%v, want code 1002", got)
	}
	r = Reassembler{}
	in := join(unmasked(Header{Opcode: OpText}, []byte("a")), unmasked(Header{Fin: true, Opcode: OpContinuation}, []byte("b")))
	if got := feed(t, &r, in, oneByOne).String(); got != `text "ab", code 0, 0 left` {
		t.Error(got)
	}
}

func TestAllowedCloseCodes(t *testing.T) {
	for _, code := range []CloseCode{
		1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4100, 4301, 4999,
	} {
		r := Reassembler{Server: true}
		got := feed(t, &r, frame(true, OpClose, string(AppendClose(nil, code, "why €"))), atOnce)
		if got.code != 0 || len(got.frames) != 1 {
			t.Errorf("%d: %v", code, got)
			continue
		}
		if c, reason, err := ParseClose(got.frames[0].Payload); c != code || reason != "why €" || err != nil {
			t.Errorf("%d: read %d %q, %v", code, c, reason, err)
		}
	}
	if c, reason, err := ParseClose(nil); c != CloseNoStatus || reason != "" || err != nil {
		t.Errorf("an empty payload: %d %q, %v", c, reason, err)
	}
	if got := AppendClose(nil, CloseNoStatus, "x"); len(got) != 0 {
		t.Errorf("no status is %q", got)
	}
}

// A reason is cut to what fits, after a whole letter, and never broken text.
func TestCloseReasonFits(t *testing.T) {
	for _, reason := range []string{
		strings.Repeat("x", 500), strings.Repeat("€", 100), strings.Repeat("👋", 100), "x" + strings.Repeat("👋", 100),
		strings.Repeat("\xffx", 100), strings.Repeat("x", 123), strings.Repeat("x", 122) + "é",
	} {
		payload := AppendClose(nil, CloseSlow, reason)
		if len(payload) > 125 || len(payload) < 100 {
			t.Errorf("%d bytes of %.10q", len(payload), reason)
		}
		if _, _, err := ParseClose(payload); err != nil {
			t.Errorf("%.10q: %v", reason, err)
		}
	}
}

func TestCloseCodesSayWhatToDo(t *testing.T) {
	for code := range closeNames {
		want := code >= 4100 && code < 4200 || code == CloseLeaving || code == CloseNoStatus || code == CloseInternal
		if code.Retry() != want {
			t.Errorf("%v: retry %v", code, !want)
		}
	}
	if got := CloseCode(4999).String(); got != "close(4999)" {
		t.Error(got)
	}
}

// A message that came in one frame lies where it came.
func TestOneFrameIsNotCopied(t *testing.T) {
	b := frame(true, OpBinary, "abcdef")
	r := Reassembler{Server: true}
	m, n, err := r.Next(b)
	if err != nil || n != len(b) || &m.Payload[0] != &b[6] {
		t.Errorf("%v, %d, %v: copied", m, n, err)
	}
}

// Whoever appends to a payload must not write over the next frame.
func TestPayloadsEndWhereTheyEnd(t *testing.T) {
	b := join(frame(true, OpText, "abc"), frame(true, OpText, "def"))
	r := Reassembler{Server: true}
	m, n, err := r.Next(b)
	if err != nil {
		t.Fatal(err)
	}
	_ = append(m.Payload, 0xff, 0xff, 0xff)
	if m, _, err := r.Next(b[n:]); err != nil || string(m.Payload) != "def" {
		t.Errorf("%q, %v", m.Payload, err)
	}
}

// A header that announces much takes no memory, nor do fragments more than
// their bytes.
func TestMemoryIsWhatCame(t *testing.T) {
	r := Reassembler{Server: true, Limit: 1 << 30}
	if _, n, err := r.Next(longForm(0x02, 1<<30)); n != 0 || err != nil || r.fragments != nil {
		t.Errorf("%d, %v, %d bytes", n, err, cap(r.fragments))
	}
	r = Reassembler{Server: true, Limit: 1 << 30}
	for i := range 1000 {
		op := OpContinuation
		if i == 0 {
			op = OpBinary
		}
		if _, _, err := r.Next(frame(false, op, "0123456789")); err != nil {
			t.Fatal(err)
		}
	}
	if cap(r.fragments) > 2*10*1000 {
		t.Errorf("%d bytes for 10000", cap(r.fragments))
	}
	if _, _, err := r.Next(frame(true, OpContinuation, "")); err != nil || r.fragments != nil {
		t.Error("the memory of a message is kept after it")
	}
}

func TestMask(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for size := range 200 {
		for offset := range 5 {
			b := make([]byte, size)
			for i := range b {
				b[i] = byte(random.Uint32())
			}
			want := bytes.Clone(b)
			for i := range want {
				want[i] ^= testKey[(i+offset)%4]
			}
			if maskFrom(b, testKey, offset); !bytes.Equal(b, want) {
				t.Fatalf("%d bytes from %d", size, offset)
			}
		}
	}
}

// Text is judged by what could still follow it: a beginning is refused exactly
// when no letters can complete it.
func TestTextIsRefusedAtItsFirstBadByte(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	interesting := []byte{'a', 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff}
	for range 50000 {
		text := make([]byte, 1+random.IntN(6))
		for i := range text {
			text[i] = interesting[random.IntN(len(interesting))]
		}
		bad := 0 // bytes after which it is lost
		for n := 1; n <= len(text) && bad == 0; n++ {
			if !completes(text[:n], 3) {
				bad = n
			}
		}
		var c utf8Checker
		got := 0
		for i := range text {
			if !c.check(text[i : i+1]) {
				got = i + 1
				break
			}
		}
		if got != bad {
			t.Fatalf("% x: refused after %d bytes, want %d", text, got, bad)
		}
		if bad == 0 && c.end() != utf8.Valid(text) {
			t.Fatalf("% x: whole %v", text, c.end())
		}
		cut := random.IntN(len(text) + 1)
		c = utf8Checker{}
		if ok := c.check(text[:cut]) && c.check(text[cut:]); ok != (bad == 0) {
			t.Fatalf("% x in pieces at %d: %v", text, cut, ok)
		}
	}
}

// completes tries all endings of up to n bytes that matter.
func completes(text []byte, n int) bool {
	if utf8.Valid(text) {
		return true
	}
	if n == 0 {
		return false
	}
	for _, b := range []byte{0x80, 0x90, 0xa0} {
		if completes(append(text[:len(text):len(text)], b), n-1) {
			return true
		}
	}
	return false
}

func TestOpcodes(t *testing.T) {
	for op, want := range map[Opcode]string{
		OpContinuation: "continuation", OpText: "text", OpBinary: "binary", OpClose: "close", OpPing: "ping", OpPong: "pong", 3: "reserved",
	} {
		if op.String() != want {
			t.Errorf("%d is %s", op, op)
		}
	}
}
