package wire

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
)

// AppendServerMessage appends a message as an item of a WebSocket message. Its
// strings must be UTF-8; JSON, which can not carry others, gets U+FFFD for them.
func AppendServerMessage(dst []byte, p Subprotocol, m *ServerMessage) []byte {
	if p == JSON {
		return appendJSON(dst, m)
	}
	return appendItem(dst, m)
}

// ServerMessageDecoder reads what a server sends, for a client. It uses its
// memory again, so it must not be copied, and one goroutine uses it at a time.
// The zero value is ready.
type ServerMessageDecoder struct {
	messages []*ServerMessage // their memory; the first used hold the last payload
	used     int
}

// Decode reads all messages of one WebSocket message. They are valid until the
// next Decode, and only while the payload is unchanged: they point into it.
func (d *ServerMessageDecoder) Decode(p Subprotocol, payload []byte) ([]*ServerMessage, error) {
	d.release()
	if p == JSON {
		return decodeJSONServerMessages(payload)
	}
	for len(payload) > 0 {
		item, rest, err := cutItem(payload)
		if err != nil {
			return nil, badMessage(d.used, err)
		}
		m, err := d.next()
		if err != nil {
			return nil, badMessage(d.used, err)
		}
		if err := m.UnmarshalVTUnsafe(item); err != nil {
			return nil, badMessage(d.used-1, err)
		}
		payload = rest
	}
	if d.used == 0 {
		return nil, badMessage(0, errNone)
	}
	return d.messages[:d.used], nil
}

// next returns an empty message of the decoder's memory.
func (d *ServerMessageDecoder) next() (*ServerMessage, error) {
	if d.used == messagesMax {
		return nil, errTooManyMessages
	}
	if d.used == len(d.messages) {
		d.messages = append(d.messages, new(ServerMessage))
	}
	d.used++
	return d.messages[d.used-1], nil
}

// The limits of what a client takes at once. A server's outbox never holds
// messagesMax; messagesKept is how many a decoder keeps for the next payload.
const (
	messagesMax  = 1 << 16
	messagesKept = 1024
)

var errTooManyMessages = fmt.Errorf("more than %d", messagesMax)

// release gives back the memory of the last payload; see RequestDecoder.
func (d *ServerMessageDecoder) release() {
	for _, m := range d.messages[:d.used] {
		if b := m.Message; b != nil {
			b.Conversation, b.Data = nil, nil
		}
		if b := m.Marks; b != nil {
			b.Conversation = nil
		}
		m.ResetVT()
	}
	d.used = 0
	if len(d.messages) > messagesKept {
		d.messages = nil
	}
}

var messagesFromJSON = protojson.UnmarshalOptions{DiscardUnknown: true, RecursionLimit: 16}

func decodeJSONServerMessages(payload []byte) ([]*ServerMessage, error) {
	var messages []*ServerMessage
	for line := range lines(payload) {
		if len(messages) == messagesMax {
			return nil, badMessage(len(messages), errTooManyMessages)
		}
		m := new(ServerMessage)
		if err := messagesFromJSON.Unmarshal(line, m); err != nil {
			return nil, badMessage(len(messages), err)
		}
		messages = append(messages, m)
	}
	if len(messages) == 0 {
		return nil, badMessage(0, errNone)
	}
	return messages, nil
}
