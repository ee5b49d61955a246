package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"
)

// A batch is its items in their order, and the decoder's second use gives
// nothing of its first.
func TestBatches(t *testing.T) {
	for _, p := range []Subprotocol{Binary, JSON} {
		var d RequestDecoder
		for round := range 3 {
			var payload []byte
			var want []*Request
			for _, name := range []string{"send", "acknowledge", "send_data", "create", "send", "prefer_reset"}[round:] {
				r := requests()[name]
				payload, want = AppendRequest(payload, p, r), append(want, r)
			}
			got, err := d.Decode(p, payload)
			if err != nil || len(got) != len(want) {
				t.Fatalf("%v, round %d: %d requests, %v; want %d", p, round, len(got), err, len(want))
			}
			for i := range want {
				if !proto.Equal(got[i], want[i]) {
					t.Errorf("%v, round %d, request %d: %v, want %v", p, round, i, got[i], want[i])
				}
			}
		}
	}
}

func TestServerBatches(t *testing.T) {
	for _, p := range []Subprotocol{Binary, JSON} {
		var d ServerMessageDecoder
		for round := range 3 {
			var payload []byte
			var want []*ServerMessage
			for _, name := range []string{"message", "sent", "marks", "page", "message_system", "sent", "check"}[round:] {
				m := serverMessages()[name]
				payload, want = AppendServerMessage(payload, p, m), append(want, m)
			}
			got, err := d.Decode(p, payload)
			if err != nil || len(got) != len(want) {
				t.Fatalf("%v, round %d: %d messages, %v; want %d", p, round, len(got), err, len(want))
			}
			for i := range want {
				if !proto.Equal(got[i], want[i]) {
					t.Errorf("%v, round %d, message %d: %v, want %v", p, round, i, got[i], want[i])
				}
			}
		}
	}
}

// What a decoder releases is used again by others; none of it may still point
// into a payload, where they would write.
func TestReleasedMemoryIsLetGo(t *testing.T) {
	payload := AppendRequest(nil, Binary, requests()["send_data"])
	payload = AppendRequest(payload, Binary, requests()["acknowledge"])
	before := bytes.Clone(payload)
	var d RequestDecoder
	got, err := d.Decode(Binary, payload)
	if err != nil {
		t.Fatal(err)
	}
	send, mark := got[0].Send, got[1].Acknowledge.Marks[0]
	d.release()
	send.Conversation = append(send.Conversation, "XXXXXXXXXXXXXXXX"...)
	send.Data = append(send.Data, "XX"...)
	mark.Conversation = append(mark.Conversation, "XXXXXXXXXXXXXXXX"...)
	if !bytes.Equal(payload, before) {
		t.Error("memory of the pool still points into the payload")
	}
	send.Conversation, send.Data, mark.Conversation = nil, nil, nil // the pool has them

	payload = AppendServerMessage(nil, Binary, serverMessages()["message_data"])
	payload = AppendServerMessage(payload, Binary, serverMessages()["marks"])
	before = bytes.Clone(payload)
	var s ServerMessageDecoder
	messages, err := s.Decode(Binary, payload)
	if err != nil {
		t.Fatal(err)
	}
	message, marks := messages[0].Message, messages[1].Marks
	s.release()
	message.Conversation = append(message.Conversation, "XXXXXXXXXXXXXXXX"...)
	message.Data = append(message.Data, "XX"...)
	marks.Conversation = append(marks.Conversation, "XXXXXXXXXXXXXXXX"...)
	if !bytes.Equal(payload, before) {
		t.Error("memory of the pool still points into the payload")
	}
	message.Conversation, message.Data, marks.Conversation = nil, nil, nil
}

// item is the item of a request that AppendRequest would never write.
func item(body ...byte) []byte {
	return append(binary.AppendUvarint(nil, uint64(len(body))), body...)
}

func binaryRequest(r *Request) []byte { return AppendRequest(nil, Binary, r) }

func marks(n int) []*Mark {
	all := make([]*Mark, n)
	for i := range all {
		all[i] = &Mark{Conversation: conversation}
	}
	return all
}

func TestBadRequests(t *testing.T) {
	good := binaryRequest(requests()["send"])
	many := bytes.Repeat(binaryRequest(&Request{Sync: &Sync{}}), RequestsPerFrameMax+1)
	users := strings.Split(strings.Repeat("u,", ListMax), ",") // ListMax + 1
	for name, payload := range map[string][]byte{
		"no request":               {},
		"a torn length":            {0x80},
		"a length of eleven bytes": bytes.Repeat([]byte{0xff}, 11),
		"a length past the end":    {5, 1, 2},
		"a length of 2^63":         append(binary.AppendUvarint(nil, 1<<63), 1),
		"torn":                     good[:len(good)-1],
		"rubbish behind":           append(bytes.Clone(good), 9),
		"a field of group type":    item(0x14),
		"field 0":                  item(0x00, 0),
		"a wrong wire type":        item(0x10, 1),
		"too many":                 many,
		"two bodies":               binaryRequest(&Request{Sync: &Sync{}, State: &GetState{Conversation: conversation}}),
		"no conversation":          binaryRequest(&Request{Send: &Send{Text: "a"}}),
		"a short conversation":     binaryRequest(&Request{Send: &Send{Conversation: conversation[:15]}}),
		"a long conversation":      binaryRequest(&Request{History: &History{Conversation: append(conversation[:16:16], 1)}}),
		"text that is not UTF-8":   binaryRequest(&Request{Send: &Send{Conversation: conversation, Text: "\xff"}}),
		"a surrogate":              binaryRequest(&Request{Send: &Send{Conversation: conversation, Text: "\xed\xa0\x80"}}),
		"a mark without a place":   binaryRequest(&Request{Acknowledge: &Acknowledge{Marks: []*Mark{{Read: 1}}}}),
		"too many marks":           binaryRequest(&Request{Acknowledge: &Acknowledge{Marks: marks(ListMax + 1)}}),
		"a peer not UTF-8":         binaryRequest(&Request{Create: &Create{Peer: "\xff"}}),
		"a title not UTF-8":        binaryRequest(&Request{Create: &Create{Title: "\xc0\x80"}}),
		"a member not UTF-8":       binaryRequest(&Request{Create: &Create{Members: []string{"a", "\xff"}}}),
		"too many members":         binaryRequest(&Request{Create: &Create{Members: users}}),
		"too many added":           binaryRequest(&Request{ChangeMembers: &ChangeMembers{Conversation: conversation, Add: users}}),
		"too many removed":         binaryRequest(&Request{ChangeMembers: &ChangeMembers{Conversation: conversation, Remove: users}}),
		"a user not UTF-8":         binaryRequest(&Request{SetRole: &SetRole{Conversation: conversation, User: "\xff"}}),
		"members of nothing":       binaryRequest(&Request{Members: &ListMembers{}}),
		"changes of nothing":       binaryRequest(&Request{ChangeMembers: &ChangeMembers{}}),
		"a role of nothing":        binaryRequest(&Request{SetRole: &SetRole{}}),
		"a preference of nothing":  binaryRequest(&Request{Prefer: &Prefer{}}),
		"the state of nothing":     binaryRequest(&Request{State: &GetState{}}),
		"found in nothing":         binaryRequest(&Request{FindSent: &FindSent{}}),
	} {
		var d RequestDecoder
		refuses(t, &d, Binary, name, payload)
		refuses(t, &d, Binary, name+", behind a good one", append(bytes.Clone(good), payload...))
		// A decoder that refused is as good as new.
		if got, err := d.Decode(Binary, good); err != nil || len(got) != 1 || !proto.Equal(got[0], requests()["send"]) {
			t.Errorf("after %s: %v, %v", name, got, err)
		}
	}
}

func refuses(t *testing.T, d *RequestDecoder, p Subprotocol, name string, payload []byte) {
	t.Helper()
	if name == "no request, behind a good one" || name == "no line, behind a good one" {
		return
	}
	if got, err := d.Decode(p, payload); !errors.Is(err, ErrBadMessage) || got != nil {
		t.Errorf("%s: %v, %v; want ErrBadMessage", name, got, err)
	}
}

func TestBadJSONRequests(t *testing.T) {
	const id = `"conversation":"MDEyMzQ1Njc4OWFiY2RlZg=="`
	good := AppendRequest(nil, JSON, requests()["send"])
	for name, payload := range map[string]string{
		"no line":                 "\n \r\n\n",
		"not JSON":                "hello",
		"torn":                    `{"send":{` + id,
		"a list":                  `[{"sync":{}}]`,
		"null":                    `null`,
		"two on a line":           `{"sync":{}} {"sync":{}}`,
		"two bodies":              `{"sync":{},"state":{` + id + `}}`,
		"a body twice":            `{"sync":{},"sync":{}}`,
		"a number as a string":    `{"id":"x","sync":{}}`,
		"a number out of range":   `{"id":4294967296,"sync":{}}`,
		"a negative number":       `{"id":-1,"sync":{}}`,
		"a fraction":              `{"id":1.5,"sync":{}}`,
		"text as a number":        `{"send":{` + id + `,"text":1}}`,
		"text that is not UTF-8":  "{\"send\":{" + id + ",\"text\":\"\xff\"}}",
		"half a surrogate":        `{"send":{` + id + `,"text":"\ud800"}}`,
		"a short conversation":    `{"send":{"conversation":"MDEy"}}`,
		"bytes not in base64":     `{"send":{"conversation":"***"}}`,
		"nested without end":      `{"new":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `,"sync":{}}`,
		"objects without end":     strings.Repeat(`{"new":`, 20000) + "1" + strings.Repeat("}", 20000),
		"more lines than allowed": strings.Repeat("{\"sync\":{}}\n", RequestsPerFrameMax+1),
		"too many marks":          `{"acknowledge":{"marks":[` + strings.Repeat("{"+id+"},", ListMax) + "{" + id + `}]}}`,
	} {
		var d RequestDecoder
		refuses(t, &d, JSON, name, []byte(payload))
		refuses(t, &d, JSON, name+", behind a good one", append(bytes.Clone(good), payload...))
	}
}

// A newer client's fields are read over, its enums are for the backend to
// refuse, and what people type by hand is understood.
func TestLenientRequests(t *testing.T) {
	var d RequestDecoder
	newer := item(0x08, 1, 0x2a, 0, 0xa2, 0x06, 1, 9) // id 1, sync, field 100
	if got, err := d.Decode(Binary, newer); err != nil || got[0].Id != 1 || got[0].Sync == nil {
		t.Errorf("%v, %v", got, err)
	}
	for _, payload := range []string{
		`{"id":1,"sync":{"newer":{"a":[1]}},"newest":true}`,
		"\r\n{\"id\":1, \"sync\":{}}\r\n\r\n",
		`{"id":1,"sync":{}}`,
		` { "id" : 1 , "sync" : { "cursor" : "" } } `,
	} {
		got, err := d.Decode(JSON, []byte(payload))
		if err != nil || len(got) != 1 || got[0].Id != 1 || got[0].Sync == nil {
			t.Errorf("%q: %v, %v", payload, got, err)
		}
	}
	for _, kind := range []string{"99", `"KIND_NEWER"`} {
		payload := `{"send":{"conversation":"MDEyMzQ1Njc4OWFiY2RlZg==","kind":` + kind + `}}`
		if got, err := d.Decode(JSON, []byte(payload)); err != nil || len(got) != 1 {
			t.Errorf("kind %s: %v, %v", kind, got, err)
		}
	}
}

// What only a newer server knows looks like a request for nothing. It has an
// answer too, so it is not the end of the connection.
func TestRequestsForNothing(t *testing.T) {
	var d RequestDecoder
	for p, payloads := range map[Subprotocol][]string{
		Binary: {"\x02\x08\x07", "\x05\x08\x07\xa2\x06\x00"},
		JSON:   {`{"id":7}`, `{"id":7,"edit":{"seq":"1"}}`, `{"id":7,"sync":null}`},
	} {
		for _, payload := range payloads {
			got, err := d.Decode(p, []byte(payload))
			if err != nil || len(got) != 1 || !proto.Equal(got[0], &Request{Id: 7}) {
				t.Errorf("%v %q: %v, %v", p, payload, got, err)
			}
		}
	}
}

// A field that we do not know is not kept: a group with a wrong end in it, or a
// megabyte, is nothing to whoever handles or prints the request.
func TestUnknownFieldsAreNotKept(t *testing.T) {
	var d RequestDecoder
	payload := item(0x2a, 2, 0x43, 0x24, 0xa3, 0x06, 0xac, 0x06) // in sync and behind it: a group that another ends
	got, err := d.Decode(Binary, payload)
	if err != nil {
		t.Fatal(err)
	}
	if len(got[0].ProtoReflect().GetUnknown())+len(got[0].Sync.ProtoReflect().GetUnknown()) != 0 {
		t.Error("unknown fields are kept")
	}
}

func TestBadServerMessages(t *testing.T) {
	var d ServerMessageDecoder
	for p, payloads := range map[Subprotocol][]string{
		Binary: {"", strings.Repeat("\x00", messagesMax+1), "\x05ab", "\x80", "\x01\x00", "\x02\x12\x05"},
		JSON:   {"", strings.Repeat("{}\n", messagesMax+1), "\n", "x", "{\"sent\":[]}", "{\"sent\":{\"seq\":-1}}"},
	} {
		for _, payload := range payloads {
			if got, err := d.Decode(p, []byte(payload)); !errors.Is(err, ErrBadMessage) || got != nil {
				t.Errorf("%v %.40q: %d messages, %v; want ErrBadMessage", p, payload, len(got), err)
			}
		}
	}
}

// A client's decoder does not keep the memory of the largest payload it ever
// saw.
func TestServerMessagesAreNotKept(t *testing.T) {
	var d ServerMessageDecoder
	payload := bytes.Repeat(AppendServerMessage(nil, Binary, serverMessages()["check"]), messagesKept+1)
	for range 2 {
		if got, err := d.Decode(Binary, payload); err != nil || len(got) != messagesKept+1 {
			t.Fatalf("%d messages, %v", len(got), err)
		}
	}
	d.release()
	if d.messages != nil {
		t.Errorf("keeps %d messages", len(d.messages))
	}
}

// The binary form is plain length-delimited Protobuf: another implementation
// reads ours, and we read its.
func TestOtherImplementation(t *testing.T) {
	for name, r := range requests() {
		payload := AppendRequest(nil, Binary, r)
		theirs := new(Request)
		if err := protodelim.UnmarshalFrom(bytes.NewReader(payload), theirs); err != nil || !proto.Equal(r, theirs) {
			t.Errorf("%s: they read %v, %v", name, theirs, err)
		}
		var out bytes.Buffer
		if _, err := protodelim.MarshalTo(&out, r); err != nil {
			t.Fatal(err)
		}
		var d RequestDecoder
		if got, err := d.Decode(Binary, out.Bytes()); err != nil || !proto.Equal(got[0], r) {
			t.Errorf("%s: we read %v, %v", name, got, err)
		}
	}
}

// What is in the store may be older than our checks. JSON replaces what it can
// not carry, and changes nothing that it was given.
func TestJSONOfBrokenText(t *testing.T) {
	m := &ServerMessage{Page: &Page{Items: []*Item{
		{Message: &Message{From: "a\xffb", Event: &Event{Users: []string{"ok", "\xfe"}, Title: "\xed\xa0\x80"}}},
	}}}
	want := `{"page":{"items":[{"message":{"from":"a` + "\ufffd" + `b","event":{"users":["ok","` + "\ufffd" + `"],"title":"` + "\ufffd" + `"}}}]}}` + "\n"
	if got := AppendServerMessage(nil, JSON, m); string(got) != want {
		t.Errorf("%s, want %s", got, want)
	}
	if m.Page.Items[0].Message.From != "a\xffb" {
		t.Error("the message was changed")
	}
}

func TestSubprotocols(t *testing.T) {
	for _, p := range []Subprotocol{Binary, JSON} {
		if got, ok := ParseSubprotocol(p.String()); !ok || got != p {
			t.Errorf("%v reads as %v, %v", p, got, ok)
		}
	}
	for _, name := range []string{"", "parley.v1", "parley.v2.proto", "PARLEY.V1.PROTO", "parley.v1.json ", "parley.token.x"} {
		if got, ok := ParseSubprotocol(name); ok {
			t.Errorf("%q is %v", name, got)
		}
	}
	if Binary.Opcode() != OpBinary || JSON.Opcode() != OpText {
		t.Error("binary goes in binary messages, JSON in text messages")
	}
	if got := fmt.Sprint(Subprotocol(9)); got != "subprotocol(9)" {
		t.Error(got)
	}
}
