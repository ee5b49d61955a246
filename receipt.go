package parley

import "time"

// Receipt is what a sender is told once his message is durable and applied.
type Receipt struct {
	Conversation ConversationID
	Stream       StreamID
	Number       Number
	Seq          Seq
	Version      Version
	At           time.Time
}

// Watermarks are the highest sequences up to which a member has been delivered
// to, and has read. They only rise.
type Watermarks struct{ Delivered, Read Seq }
