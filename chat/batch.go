package chat

import (
	"encoding/binary"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/engine"
)

// Batch gathers sends and acknowledgements, for instance those of one read of a
// socket, and takes them through the log together. It belongs to its caller, to
// be used by one goroutine at a time, until Append, and again from done on. Warm,
// it allocates nothing.
type Batch struct {
	// Origin names whoever asks, such as a session. What the batch tells bears
	// it, so that nobody need be told what he gets as an answer.
	Origin uint64

	service *Service
	done    func(*Batch)
	batch   engine.Batch
	items   []item
	bodies  []byte // of all commands, one behind the other
	now     int64  // seconds since 1970, when the first send was added
}

// item is one send or acknowledgement.
type item struct {
	command int            // its place in the engine's batch, or noCommand
	from    int            // where its body begins in bodies
	version parley.Version // without a command: the conversation's
}

// noCommand stands for an acknowledgement that is no news: the log need not
// hear of it.
const noCommand = -1

// A batch takes no more than this, and keeps no more memory than that.
const (
	batchBytesMax = 1 << 20
	keptBytesMax  = 256 << 10
)

// Outcome is what became of one send or acknowledgement.
type Outcome struct {
	Code parley.Code // OK, or the refusal
	// Repeat says that it was applied before. Seq is that of a send where it is
	// known without reading the conversation, else 0: Service.Repeated reads it.
	Repeat   bool
	Seq      parley.Seq
	Version  parley.Version // of the conversation
	Expected parley.Number  // with RetryInOrder: the number to go on with
	At       int64          // microseconds since 1970; of a repeat not the first's
}

// NewBatch makes a batch. done is called when all of it is durable and applied,
// or its outcome unknown: from the engine's applier, so it must not wait, or,
// where nothing of the batch needs the log, by Append. It may Reset the batch
// and use it again.
func (s *Service) NewBatch(done func(*Batch)) *Batch {
	b := &Batch{service: s, done: done}
	b.batch.Done = func(*engine.Batch) { b.done(b) }
	return b
}

// Reset empties a batch.
func (b *Batch) Reset() {
	clear(b.batch.Commands)
	b.batch.Commands, b.batch.Err = b.batch.Commands[:0], nil
	b.items, b.bodies, b.now = b.items[:0], b.bodies[:0], 0
	if cap(b.bodies) > keptBytesMax {
		b.bodies = nil
	}
}

// Idle reports whether nothing of the batch needs the log: Append then calls
// done itself, before it returns.
func (b *Batch) Idle() bool { return len(b.batch.Commands) == 0 }

// Len is the number of sends and acknowledgements.
func (b *Batch) Len() int { return len(b.items) }

// Send adds a message, whose body is copied, and returns where its outcome will
// be. An error refuses it at once, and nothing was added.
func (b *Batch) Send(from parley.Identity, d *parley.Draft) (at int, err error) {
	if b.now == 0 {
		b.now = b.service.now().Unix()
	}
	c, err := b.service.check(from, d, b.now)
	if err != nil {
		return 0, err
	}
	if len(b.bodies) > 0 && len(b.bodies)+sendHeaderSize+len(d.Body) > batchBytesMax {
		return 0, parley.Overloaded
	}
	at = b.add(c)
	b.bodies = appendSend(b.bodies, from.User, d)
	return at, nil
}

// Acknowledge adds an acknowledgement, and returns where its outcome will be. An
// error refuses it at once, and nothing was added. With ErrFacts it is for
// Service.Acknowledge, which may wait.
func (b *Batch) Acknowledge(id parley.Identity, a Acknowledgement) (at int, err error) {
	l, err := b.service.look(id, a)
	switch {
	case err != nil:
		return 0, err
	case l.asks():
		return 0, ErrFacts
	case !l.raises:
		b.items = append(b.items, item{command: noCommand, version: l.version})
		return len(b.items) - 1, nil
	}
	at = b.add(l.command(id, nil))
	b.bodies = appendMark(b.bodies, l.mark)
	return at, nil
}

// add adds a command whose body comes next in bodies. Commands are given their
// bodies by Append: until then bodies may move.
func (b *Batch) add(c engine.Command) (at int) {
	b.items = append(b.items, item{command: len(b.batch.Commands), from: len(b.bodies)})
	b.batch.Commands = append(b.batch.Commands, c)
	return len(b.items) - 1
}

// Append hands the batch over. It waits for no disk. After an error nothing of
// it was taken, and done is not called.
func (b *Batch) Append() error {
	if len(b.batch.Commands) == 0 {
		if len(b.items) == 0 {
			return parley.BadRequest
		}
		b.done(b)
		return nil
	}
	end := len(b.bodies)
	for i := len(b.items) - 1; i >= 0; i-- {
		it := &b.items[i]
		if it.command == noCommand {
			continue
		}
		c := &b.batch.Commands[it.command]
		c.Body, c.Time = b.bodies[it.from:end:end], 0
		end = it.from
	}
	b.batch.Origin = b.Origin
	return b.service.engine.Append(&b.batch)
}

// Err says that the outcome of the batch is unknown: the log has failed or has
// lost it. Each command may or may not be applied. Valid in done.
func (b *Batch) Err() error { return b.batch.Err }

// Outcome is what became of the send or acknowledgement at a place. It is valid
// from done to Reset, if Err is nil.
func (b *Batch) Outcome(at int) Outcome {
	it := &b.items[at]
	if it.command == noCommand {
		return Outcome{Repeat: true, Version: it.version}
	}
	r := &b.batch.Results[it.command]
	return Outcome{Code: r.Code, Repeat: r.Repeat, Seq: r.Seq, Version: r.Version, Expected: r.Expected, At: r.Time}
}

// Draft is the send at a place as it was added, for Service.Repeated. Its body
// is the batch's own, until Reset.
func (b *Batch) Draft(at int) parley.Draft {
	it := &b.items[at]
	if it.command == noCommand || b.batch.Commands[it.command].Kind != kindSend {
		return parley.Draft{}
	}
	body := b.batch.Commands[it.command].Body
	return parley.Draft{
		Conversation: parley.ConversationID(body[:16]),
		Stream:       parley.StreamID(binary.LittleEndian.Uint64(body[32:])),
		Number:       parley.Number(binary.LittleEndian.Uint32(body[40:])),
		Kind:         parley.Kind(body[44]), Body: body[sendHeaderSize:],
	}
}
