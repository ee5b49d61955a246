package wire

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
)

// The limits of what one WebSocket message may ask for. Its bytes are limited
// by the Reassembler.
const (
	// RequestsPerFrameMax is how many requests it may hold.
	RequestsPerFrameMax = 1024
	// ListMax is how many marks or users one request may name.
	ListMax = 1024
)

// ErrBadMessage reports a payload that is no row of valid messages. The sender
// is broken or hostile: its connection is closed with CloseBadMessage.
var ErrBadMessage = errors.New("wire: bad message")

// AppendRequest appends a request as an item of a WebSocket message.
func AppendRequest(dst []byte, p Subprotocol, r *Request) []byte {
	if p == JSON {
		return appendJSON(dst, r)
	}
	return appendItem(dst, r)
}

// RequestDecoder reads the requests of WebSocket messages, one after the other.
// It uses its memory again, so it must not be copied, and one goroutine uses it
// at a time. The zero value is ready.
type RequestDecoder struct {
	requests []*Request // their memory; the first used hold the last payload
	used     int
}

// Decode reads all requests of one WebSocket message, and checks their shape:
// in each at most one body is set, a conversation is 16 bytes, a device 16 or none, text is UTF-8,
// lists are within ListMax. What they ask for is for others to judge, also where
// no body is set: so looks what only a newer server knows, and its client gets
// an answer. A message with one bad request, or with none at all, is
// ErrBadMessage as a whole.
//
// The requests and all in them are valid until the next Decode, and only while
// the payload is unchanged: they point into it.
func (d *RequestDecoder) Decode(p Subprotocol, payload []byte) ([]*Request, error) {
	d.release()
	if p == JSON {
		return decodeJSONRequests(payload)
	}
	for len(payload) > 0 {
		item, rest, err := cutItem(payload)
		if err != nil {
			return nil, badMessage(d.used, err)
		}
		r, err := d.next()
		if err != nil {
			return nil, badMessage(d.used, err)
		}
		if err = r.UnmarshalVTUnsafe(item); err == nil {
			err = r.check()
		}
		if err != nil {
			return nil, badMessage(d.used-1, err)
		}
		payload = rest
	}
	if d.used == 0 {
		return nil, badMessage(0, errNone)
	}
	return d.requests[:d.used], nil
}

// next returns an empty request of the decoder's memory.
func (d *RequestDecoder) next() (*Request, error) {
	if d.used == RequestsPerFrameMax {
		return nil, errTooMany
	}
	if d.used == len(d.requests) {
		d.requests = append(d.requests, new(Request))
	}
	d.used++
	return d.requests[d.used-1], nil
}

// release gives back the memory of the last payload. The generated ResetVT
// keeps byte slices for the next use, emptied; these ones point into a payload
// that is not ours, so they are dropped first, or a later append into them
// would write there.
func (d *RequestDecoder) release() {
	for _, r := range d.requests[:d.used] {
		if s := r.Send; s != nil {
			s.Conversation, s.Data = nil, nil
		}
		if a := r.Acknowledge; a != nil {
			if len(a.Marks) > ListMax {
				a.Marks = nil
			}
			for _, m := range a.Marks {
				m.Conversation = nil
			}
		}
		r.ResetVT()
	}
	d.used = 0
}

// requestsFromJSON reads fields that we do not know over, as the binary form
// does, so that a newer client can talk to an older server.
var requestsFromJSON = protojson.UnmarshalOptions{DiscardUnknown: true, RecursionLimit: 16}

// decodeJSONRequests makes fresh requests: JSON is for people and quick
// clients, and its decoder copies, which memory used with UnmarshalVTUnsafe
// does not bear.
func decodeJSONRequests(payload []byte) ([]*Request, error) {
	var requests []*Request
	for line := range lines(payload) {
		if len(requests) == RequestsPerFrameMax {
			return nil, badMessage(len(requests), errTooMany)
		}
		r := new(Request)
		err := requestsFromJSON.Unmarshal(line, r)
		if err == nil {
			err = r.check()
		}
		if err != nil {
			return nil, badMessage(len(requests), err)
		}
		requests = append(requests, r)
	}
	if len(requests) == 0 {
		return nil, badMessage(0, errNone)
	}
	return requests, nil
}

var (
	errNone         = errors.New("there is none")
	errTooMany      = fmt.Errorf("more than %d", RequestsPerFrameMax)
	errBodies       = errors.New("more than one body is set")
	errConversation = errors.New("a conversation is 16 bytes")
	errDevice       = errors.New("a device is 16 bytes, or none")
	errNotUTF8      = errors.New("text is not UTF-8")
	errLongList     = fmt.Errorf("a list is longer than %d", ListMax)
)

// badMessage says which message of a payload is bad, counted from 1.
func badMessage(index int, err error) error {
	return fmt.Errorf("%w: message %d: %w", ErrBadMessage, index+1, err)
}

// check judges the shape of a request.
func (r *Request) check() error {
	bodies := 0
	var err error
	note := func(e error) {
		bodies++
		err = either(err, e)
	}
	if b := r.Send; b != nil {
		note(b.check())
	}
	if b := r.Acknowledge; b != nil {
		note(b.check())
	}
	if b := r.History; b != nil {
		note(checkConversation(b.Conversation))
	}
	if b := r.Sync; b != nil {
		note(nil)
	}
	if b := r.Create; b != nil {
		note(b.check())
	}
	if b := r.Members; b != nil {
		note(checkConversation(b.Conversation))
	}
	if b := r.ChangeMembers; b != nil {
		note(b.check())
	}
	if b := r.SetRole; b != nil {
		note(either(checkConversation(b.Conversation), checkText(b.User)))
	}
	if b := r.Prefer; b != nil {
		note(checkConversation(b.Conversation))
	}
	if b := r.State; b != nil {
		note(checkConversation(b.Conversation))
	}
	if b := r.FindSent; b != nil {
		note(checkConversation(b.Conversation))
	}
	if b := r.Rename; b != nil {
		note(either(checkConversation(b.Conversation), checkText(b.Title)))
	}
	live, e := r.checkPeople()
	bodies += live
	if bodies > 1 {
		return errBodies
	}
	return either(err, e)
}

// checkPeople judges the requests about presence, devices and profiles, and
// counts them.
func (r *Request) checkPeople() (bodies int, err error) {
	note := func(e error) {
		bodies++
		err = either(err, e)
	}
	if b := r.Presence; b != nil {
		note(checkList(b.Users))
	}
	if b := r.Watch; b != nil {
		note(checkConversations(b.Conversations))
	}
	if b := r.Typing; b != nil {
		note(either(checkConversation(b.Conversation), checkText(b.User)))
	}
	if b := r.Devices; b != nil {
		note(nil)
	}
	if b := r.RevokeDevice; b != nil {
		note(checkDevice(b.Device))
	}
	if b := r.Profiles; b != nil {
		note(checkList(b.Users))
	}
	if b := r.SetProfile; b != nil {
		note(either(checkText(b.GetName()), checkText(b.GetPicture())))
	}
	return bodies, err
}

func (s *Send) check() error {
	return either(checkConversation(s.Conversation), checkText(s.Text))
}

func (a *Acknowledge) check() error {
	if len(a.Marks) > ListMax {
		return errLongList
	}
	for _, m := range a.Marks {
		if err := checkConversation(m.Conversation); err != nil {
			return err
		}
	}
	return nil
}

func (c *Create) check() error {
	return either(either(checkText(c.Peer), checkText(c.Title)), checkList(c.Members))
}

func (c *ChangeMembers) check() error {
	err := either(checkConversation(c.Conversation), checkList(c.Add))
	return either(err, checkList(c.Remove))
}

func checkConversation(id []byte) error {
	if len(id) != 16 {
		return errConversation
	}
	return nil
}

func checkConversations(ids [][]byte) error {
	if len(ids) > ListMax {
		return errLongList
	}
	for _, id := range ids {
		if err := checkConversation(id); err != nil {
			return err
		}
	}
	return nil
}

func checkDevice(id []byte) error {
	if len(id) != 16 && len(id) != 0 {
		return errDevice
	}
	return nil
}

func checkText(s string) error {
	if !utf8.ValidString(s) {
		return errNotUTF8
	}
	return nil
}

func checkList(users []string) error {
	if len(users) > ListMax {
		return errLongList
	}
	for _, u := range users {
		if err := checkText(u); err != nil {
			return err
		}
	}
	return nil
}

// either is the first error of two.
func either(a, b error) error {
	if a != nil {
		return a
	}
	return b
}
