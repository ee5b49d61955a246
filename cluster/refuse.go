package cluster

import (
	"errors"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/chat"
	"github.com/parleychat/parley/wire"
)

// How long a client waits before it tries the same again, by what refused it.
var retryAfter = map[parley.Code]time.Duration{
	parley.Overloaded:  200 * time.Millisecond,
	parley.Stopping:    time.Second,
	parley.Unavailable: time.Second,
	parley.DiskFull:    5 * time.Second,
}

// refuse answers a request with an error, also one that wants no other answer.
func (r *Router) refuse(session wire.SessionID, id uint32, err error) {
	r.counters.refused.Add(1)
	r.sockets.Reply(session, &wire.ServerMessage{ReplyTo: id, Error: r.refusal(err)})
}

// refusal is an error as clients see it. One without a code says that the
// engine has ended or that we have a bug; clients learn no more of it than that
// it may pass.
func (r *Router) refusal(err error) *wire.Error {
	if !coded(err) && r.isStopping() {
		err = parley.Stopping
	}
	code := codeOf(err)
	out := &wire.Error{
		Code: uint32(code), Name: code.String(),
		RetryAfterMs: uint32(retryAfter[code].Milliseconds()),
	}
	if !coded(err) {
		r.failed(err)
		return out
	}
	if m := err.Error(); m != out.Name {
		out.Message = m
	}
	if o, ok := errors.AsType[*chat.OrderError](err); ok {
		out.Expected = uint32(o.Expected)
	}
	return out
}

// codeOf is the code that an error carries, parley.Unavailable if none.
func codeOf(err error) parley.Code {
	if c, ok := errors.AsType[parley.Code](err); ok {
		return c
	}
	if errors.Is(err, parley.RetryInOrder) {
		return parley.RetryInOrder
	}
	return parley.Unavailable
}

func coded(err error) bool {
	_, ok := errors.AsType[parley.Code](err)
	return ok || errors.Is(err, parley.RetryInOrder)
}

// failed counts an error without a code, and logs one a second at most: where
// there is one there are many.
func (r *Router) failed(err error) {
	r.counters.failed.Add(1)
	now, last := time.Now().Unix(), r.logged.Load()
	if now != last && r.logged.CompareAndSwap(last, now) {
		r.opts.Logger.Error("a request failed", "err", err)
	}
}
