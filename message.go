package parley

import (
	"fmt"
	"time"
)

// Seq is the position of a message in its conversation: 1, 2, 3, without a gap
// or a repeat, the same for every reader. Zero is before the first.
type Seq uint64

// Ordinal is the position of a message among those that count as unread.
type Ordinal uint64

// Version counts the changes of a conversation that some device shows.
type Version uint64

// Incarnation is 64 random bits that change when a store was restored or
// promoted. A client that sees a new one drops what it holds beyond the heads
// that came with it.
type Incarnation uint64

// Kind says what a message carries. The server looks into none of them but
// KindSystem.
type Kind uint8

// The kinds of message. Their numbers are stored; they never change.
const (
	KindText       Kind = 1
	KindImage      Kind = 2
	KindVideo      Kind = 3
	KindAudio      Kind = 4
	KindDocument   Kind = 5
	KindCiphertext Kind = 6
	KindSystem     Kind = 7
)

var kindNames = [...]string{
	KindText: "text", KindImage: "image", KindVideo: "video", KindAudio: "audio",
	KindDocument: "document", KindCiphertext: "ciphertext", KindSystem: "system",
}

// String names the kind in lower case.
func (k Kind) String() string {
	if k == 0 || int(k) >= len(kindNames) {
		return fmt.Sprintf("kind(%d)", uint8(k))
	}
	return kindNames[k]
}

// Counts reports whether a message of this kind counts as unread.
func (k Kind) Counts() bool { return k != KindSystem }

// BySender reports whether a user may send this kind.
func (k Kind) BySender() bool { return k >= KindText && k <= KindCiphertext }

// Draft is a message before it has a sequence.
type Draft struct {
	Conversation ConversationID
	Stream       StreamID
	Number       Number
	Kind         Kind
	Body         []byte
}

// Message is what a user sent, once it has a sequence.
type Message struct {
	Conversation ConversationID
	Seq          Seq
	Ordinal      Ordinal
	Kind         Kind
	From         UserID
	Stream       StreamID
	Number       Number
	// At is when the server accepted the message, to the microsecond. It never
	// runs backwards inside a partition and never decides an order.
	At   time.Time
	Body []byte
	// Event is set for KindSystem, and Body is empty then.
	Event *Event
}

// SeqRange is the sequences From to To, both included. It is empty when To is
// below From.
type SeqRange struct{ From, To Seq }

// Empty reports whether the range holds no sequence.
func (r SeqRange) Empty() bool { return r.To < r.From }

// Len is the number of sequences in the range.
func (r SeqRange) Len() uint64 {
	if r.Empty() {
		return 0
	}
	return uint64(r.To-r.From) + 1
}

// Contains reports whether s lies in the range.
func (r SeqRange) Contains(s Seq) bool { return r.From <= s && s <= r.To }
