package wire

// FrameMax is the length of the longest message that a server takes by default.
const FrameMax = 64 << 10

// Frame is what Reassembler.Next found.
type Frame struct {
	// Opcode is OpText or OpBinary for a whole message, OpPing, OpPong or OpClose
	// for a control frame, and OpContinuation when there is nothing to do yet:
	// what was consumed was a fragment and has been put aside.
	Opcode Opcode
	// Payload is unmasked and borrowed. That of a close frame was checked;
	// ParseClose reads it.
	Payload []byte
}

// Reassembler makes messages of the frames that one side of a connection
// receives, as RFC 6455 demands and no more than it allows. Its memory is what
// the fragments of one message need; messages in one frame, which is nearly all
// of them, are returned where they lie.
type Reassembler struct {
	// Server says that this is the server's side: frames must be masked. A
	// client's must not be.
	Server bool
	// Limit is the length of the longest message; more is refused when a header
	// announces it, before it is read. Default FrameMax.
	Limit int

	err    error
	closed bool

	fragmented Opcode // of the message whose fragments are coming; OpContinuation if none
	fragments  []byte // what has come of it

	seen int // payload bytes of the frame at hand that were unmasked and checked
	text utf8Checker
}

// Next looks at what a connection received. It consumes n bytes of b, at most
// one frame. If n is 0 and err nil, the frame is not whole: call again with the
// same bytes, where they lie now, and more behind them. What is there of its
// payload is already unmasked and checked, so the rest of b must be kept, not
// read anew.
//
// The payload lies in b and is borrowed: the caller may change it, and it is
// valid as long as b is. The payload of a message that came in fragments is the
// caller's.
//
// An error is a *ProtocolError and stays: the connection is to be closed with
// its code. After a close frame everything is consumed, and nothing returned.
func (r *Reassembler) Next(b []byte) (m Frame, n int, err error) {
	if r.err != nil {
		return Frame{}, 0, r.err
	}
	if r.closed {
		return Frame{}, len(b), nil
	}
	m, n, err = r.next(b)
	if err != nil {
		r.err, r.fragments = err, nil
		return Frame{}, 0, err
	}
	return m, n, nil
}

func (r *Reassembler) next(b []byte) (m Frame, n int, err error) {
	h, n, err := ParseHeader(b)
	if err == nil {
		err = r.admit(b, h, n > 0)
	}
	if n == 0 || err != nil {
		return Frame{}, 0, err
	}
	size := min(len(b)-n, h.Length)
	payload := b[n : n+size : n+size]
	if err := r.take(h, payload); err != nil {
		return Frame{}, 0, err
	}
	if size < h.Length {
		return Frame{}, 0, nil
	}
	r.seen = 0
	m, err = r.finish(h, payload)
	return m, n + size, err
}

// admit judges a frame by as much of its header as has come.
func (r *Reassembler) admit(b []byte, h Header, whole bool) error {
	if len(b) == 0 {
		return nil
	}
	if !h.Opcode.Control() {
		switch inside := r.fragmented != OpContinuation; {
		case inside && h.Opcode != OpContinuation:
			return protocolError("a message inside the fragments of another")
		case !inside && h.Opcode == OpContinuation:
			return protocolError("a fragment of no message")
		}
	}
	if len(b) > 1 && h.Masked != r.Server {
		if r.Server {
			return protocolError("a client's frame is not masked")
		}
		return protocolError("a server's frame is masked")
	}
	if whole && !h.Opcode.Control() && h.Length > r.limit()-len(r.fragments) {
		return &ProtocolError{Code: CloseTooLarge, Reason: "a message longer than the limit"}
	}
	return nil
}

func (r *Reassembler) limit() int {
	if r.Limit == 0 {
		return FrameMax
	}
	return r.Limit
}

// take unmasks and checks what has come of a payload since the last call.
func (r *Reassembler) take(h Header, payload []byte) error {
	fresh := payload[r.seen:]
	if h.Masked {
		maskFrom(fresh, h.Key, r.seen)
	}
	r.seen = len(payload)
	if r.message(h) == OpText && !r.text.check(fresh) {
		return errFrameText
	}
	return nil
}

// message is the opcode of the message that a data frame is of.
func (r *Reassembler) message(h Header) Opcode {
	if h.Opcode == OpContinuation {
		return r.fragmented
	}
	return h.Opcode
}

var errFrameText = &ProtocolError{Code: CloseNotUTF8, Reason: "text that is not UTF-8"}

// finish makes of a whole frame what Next returns.
func (r *Reassembler) finish(h Header, payload []byte) (Frame, error) {
	if h.Opcode == OpClose {
		_, _, err := ParseClose(payload)
		r.closed = true
		return Frame{Opcode: OpClose, Payload: payload}, err
	}
	if h.Opcode.Control() {
		return Frame{Opcode: h.Opcode, Payload: payload}, nil
	}
	opcode := r.message(h)
	if h.Fin && opcode == OpText && !r.text.end() {
		return Frame{}, errFrameText
	}
	if h.Fin && h.Opcode != OpContinuation {
		return Frame{Opcode: opcode, Payload: payload}, nil
	}
	r.fragmented = opcode
	r.fragments = append(r.fragments, payload...)
	if !h.Fin {
		return Frame{}, nil
	}
	m := Frame{Opcode: opcode, Payload: r.fragments}
	r.fragmented, r.fragments = OpContinuation, nil
	return m, nil
}
