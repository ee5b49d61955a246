package wire

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

var update = flag.Bool("update", false, "write testdata anew")

var (
	conversation = []byte("0123456789abcdef")
	device       = []byte("device-of-ann-01")
)

const (
	stream = 0x6543210089abcdef
	at     = 1795500000123456
)

// requests is each request of the protocol, with every field set.
func requests() map[string]*Request {
	return map[string]*Request{
		"send": {Id: 1, Send: &Send{
			Conversation: conversation, Stream: stream, Number: 7, Kind: Kind_KIND_TEXT, Text: "Grüße, \"Bob\"\n👋",
		}},
		"send_data": {Id: 300, Send: &Send{
			Conversation: conversation, Stream: stream, Number: 8, Kind: Kind_KIND_CIPHERTEXT, Data: []byte{0, 0xff, 0x80},
		}},
		"acknowledge": {Id: 2, Acknowledge: &Acknowledge{Marks: []*Mark{
			{Conversation: conversation, Delivered: 9, Read: 8},
			{Conversation: []byte("fedcba9876543210"), Delivered: 1 << 40},
		}}},
		"history":      {Id: 3, History: &History{Conversation: conversation, From: 1, To: 50, Backward: true, Limit: 20}},
		"sync":         {Id: 4, Sync: &Sync{Cursor: []byte("cursor"), Limit: 100}},
		"create":       {Id: 5, Create: &Create{Peer: "bob", Title: "the team", Members: []string{"bob", "cem"}}},
		"list_members": {Id: 6, Members: &ListMembers{Conversation: conversation}},
		"change_members": {Id: 7, ChangeMembers: &ChangeMembers{
			Conversation: conversation, Add: []string{"dan"}, Remove: []string{"bob", "cem"},
		}},
		"set_role":     {Id: 8, SetRole: &SetRole{Conversation: conversation, User: "bob", Role: Role_ROLE_ADMIN}},
		"prefer":       {Id: 9, Prefer: &Prefer{Conversation: conversation, MuteUntil: proto.Int64(at), MarkUnread: proto.Bool(true)}},
		"prefer_reset": {Id: 10, Prefer: &Prefer{Conversation: conversation, MuteUntil: proto.Int64(0), MarkUnread: proto.Bool(false)}},
		"get_state":    {Id: 11, State: &GetState{Conversation: conversation}},
		"find_sent":    {Id: 12, FindSent: &FindSent{Conversation: conversation, Stream: stream, Number: 7}},
		"rename":       {Id: 13, Rename: &Rename{Conversation: conversation, Title: "the other team"}},
		"get_presence": {Id: 14, Presence: &GetPresence{Users: []string{"bob", "cem"}}},
		"watch":        {Id: 15, Watch: &Watch{Conversations: [][]byte{conversation, []byte("fedcba9876543210")}}},
		"typing":       {Id: 16, Typing: &Typing{Conversation: conversation, Active: true}},
		"list_devices": {Id: 17, Devices: &ListDevices{}},
		"revoke_device": {Id: 18, RevokeDevice: &RevokeDevice{
			Device: device,
		}},
		"get_profiles": {Id: 19, Profiles: &GetProfiles{Users: []string{"bob", "cem"}}},
		"set_profile": {Id: 20, SetProfile: &SetProfile{
			Name: proto.String("Ann Änder"), Picture: proto.String("https://example.com/ann.png"), LastSeenTo: Audience_AUDIENCE_NOBODY.Enum(),
		}},
	}
}

func textMessage() *Message {
	return &Message{
		Conversation: conversation, Seq: 42, Ordinal: 40, Version: 99, From: "ann", Stream: stream, Number: 7,
		Kind: Kind_KIND_TEXT, At: at, Text: "Grüße, <Bob>",
	}
}

func member() *Member {
	return &Member{User: "bob", Role: Role_ROLE_OWNER, Delivered: 42, Read: 41, Name: "Bob", Picture: "https://example.com/bob.png"}
}

func state() *State {
	return &State{
		Conversation: conversation, Kind: ConversationKind_CONVERSATION_GROUP, Title: "the team", Last: 42, Version: 99,
		Changed: at, Role: Role_ROLE_MEMBER, Delivered: 42, Read: 41, Unread: 1, Ordinal: 40, ReadOrdinal: 38, Own: 6,
		OwnAtRead: 5, MarkedUnread: true, MutedUntil: at + 1, Peer: member(), Left: true,
	}
}

// serverMessages is each message from the server, with every field set.
func serverMessages() map[string]*ServerMessage {
	return map[string]*ServerMessage{
		"error": {ReplyTo: 1, Error: &Error{
			Code: 1005, Name: "retry_in_order", Message: "a number was skipped", Expected: 5, RetryAfterMs: 250,
		}},
		"sent": {ReplyTo: 2, Sent: &Sent{Seq: 42, Version: 99, At: at}},
		"done": {ReplyTo: 3, Done: &Done{}},
		"page": {ReplyTo: 4, Page: &Page{
			Conversation: conversation, Last: 42, Version: 99, From: 1, To: 42,
			Items: []*Item{
				{Withheld: &Withheld{From: 1, To: 41, Reason: Withheld_NOT_YOURS}},
				{Message: textMessage()},
			},
		}},
		"sync_page": {ReplyTo: 5, SyncPage: &SyncPage{
			States: []*State{state()}, Cursor: []byte("next"), More: true, Authoritative: true, Unavailable: true, Incarnation: stream,
		}},
		"state":   {ReplyTo: 6, State: state()},
		"members": {ReplyTo: 7, Members: &Members{Members: []*Member{member()}}},
		"message": {Message: textMessage()},
		"message_data": {Message: &Message{
			Conversation: conversation, Seq: 43, From: "ann", Kind: Kind_KIND_IMAGE, Data: []byte{0, 0xff, 0x80},
		}},
		"message_system": {Message: &Message{
			Conversation: conversation, Seq: 1, From: "ann", Kind: Kind_KIND_SYSTEM,
			Event: &Event{Type: EventType_EVENT_CREATED, Users: []string{"bob", "cem"}, Role: Role_ROLE_MEMBER, Title: "the team"},
		}},
		"marks": {Marks: &MarksChanged{Conversation: conversation, Version: 100, User: "bob", Delivered: 42, Read: 41}},
		"welcome": {Welcome: &Welcome{
			User: "ann", Stream: stream, Incarnation: stream + 1, HeartbeatMs: 30000, BodyMax: 16384, FrameMax: 65536, RequestsMax: 1024,
			Device: device, TokenExpiresInMs: 3600000,
		}},
		"message_renamed": {Message: &Message{
			Conversation: conversation, Seq: 2, From: "ann", Kind: Kind_KIND_SYSTEM,
			Event: &Event{Type: EventType_EVENT_RENAMED, Title: "the other team"},
		}},
		"presences": {ReplyTo: 8, Presences: &Presences{Degraded: true, Presences: []*Presence{
			{User: "bob", Online: true}, {User: "cem", LastSeen: at}, {User: "dan", Hidden: true},
		}}},
		"devices": {ReplyTo: 9, Devices: &Devices{Devices: []*Device{
			{Device: device, Name: "Ann's phone", Platform: "Android", Created: at, LastSeen: at + 1, Online: true, Current: true},
		}}},
		"profiles": {ReplyTo: 10, Profiles: &Profiles{Profiles: []*Profile{
			{User: "ann", Name: "Ann Änder", Picture: "https://example.com/ann.png", LastSeenTo: Audience_AUDIENCE_EVERYBODY},
		}}},
		"typing":         {Typing: &Typing{Conversation: conversation, User: "bob", Active: true}},
		"token_expiring": {TokenExpiring: &TokenExpiring{ExpiresInMs: 60000}},
		"check":          {Check: &Check{Pushes: 12345}},
		"going_away":     {GoingAway: &GoingAway{RetryAfterMs: 1500}},
	}
}

// The golden files are the protocol's promise: what was sent once is understood
// by every later program, and written the same.
func TestGolden(t *testing.T) {
	for name, r := range requests() {
		for _, p := range []Subprotocol{Binary, JSON} {
			golden(t, "request_"+name, p, AppendRequest(nil, p, r))
			var d RequestDecoder
			got, err := d.Decode(p, readGolden(t, "request_"+name, p))
			if err != nil || len(got) != 1 || !proto.Equal(got[0], r) {
				t.Errorf("request %s, %v: read %v, %v; want %v", name, p, got, err, r)
			}
		}
	}
	for name, m := range serverMessages() {
		for _, p := range []Subprotocol{Binary, JSON} {
			golden(t, "server_"+name, p, AppendServerMessage(nil, p, m))
			var d ServerMessageDecoder
			got, err := d.Decode(p, readGolden(t, "server_"+name, p))
			if err != nil || len(got) != 1 || !proto.Equal(got[0], m) {
				t.Errorf("server message %s, %v: read %v, %v; want %v", name, p, got, err, m)
			}
		}
	}
}

func goldenFile(name string, p Subprotocol) string {
	if p == JSON {
		return filepath.Join("testdata", name+".json")
	}
	return filepath.Join("testdata", name+".bin")
}

func readGolden(t testing.TB, name string, p Subprotocol) []byte {
	t.Helper()
	b, err := os.ReadFile(goldenFile(name, p))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func golden(t *testing.T, name string, p Subprotocol, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(goldenFile(name, p), got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := readGolden(t, name, p); !bytes.Equal(got, want) {
		t.Errorf("%s, %v:\ngot  %q\nwant %q", name, p, got, want)
	}
}

// A field that no golden file holds could be given another number and nobody
// would notice.
func TestGoldenHoldsEveryField(t *testing.T) {
	held := make(map[protoreflect.FullName]bool)
	for _, r := range requests() {
		note(held, r.ProtoReflect())
	}
	for _, m := range serverMessages() {
		note(held, m.ProtoReflect())
	}
	var want func(messages protoreflect.MessageDescriptors)
	want = func(messages protoreflect.MessageDescriptors) {
		for i := range messages.Len() {
			m := messages.Get(i)
			for j := range m.Fields().Len() {
				if f := m.Fields().Get(j).FullName(); !held[f] {
					t.Errorf("no golden file holds %s", f)
				}
			}
			want(m.Messages())
		}
	}
	want(File_wire_parley_proto.Messages())
}

func note(held map[protoreflect.FullName]bool, m protoreflect.Message) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		held[f.FullName()] = true
		switch {
		case f.Kind() == protoreflect.MessageKind && f.IsList():
			for i := range v.List().Len() {
				note(held, v.List().Get(i).Message())
			}
		case f.Kind() == protoreflect.MessageKind:
			note(held, v.Message())
		}
		return true
	})
}

// The numbers of enums are part of the protocol too; the golden files hold only
// some.
func TestEnumsAreTheVocabulary(t *testing.T) {
	for name, want := range map[string]int32{
		"KIND_TEXT": 1, "KIND_IMAGE": 2, "KIND_VIDEO": 3, "KIND_AUDIO": 4, "KIND_DOCUMENT": 5, "KIND_CIPHERTEXT": 6, "KIND_SYSTEM": 7,
	} {
		if Kind_value[name] != want {
			t.Errorf("%s = %d, want %d", name, Kind_value[name], want)
		}
	}
	for name, want := range map[string]int32{"ROLE_NONE": 0, "ROLE_MEMBER": 1, "ROLE_ADMIN": 2, "ROLE_OWNER": 3} {
		if Role_value[name] != want {
			t.Errorf("%s = %d, want %d", name, Role_value[name], want)
		}
	}
	for name, want := range map[string]int32{
		"EVENT_CREATED": 1, "EVENT_ADDED": 2, "EVENT_REMOVED": 3, "EVENT_LEFT": 4, "EVENT_ROLE": 5, "EVENT_RENAMED": 6,
	} {
		if EventType_value[name] != want {
			t.Errorf("%s = %d, want %d", name, EventType_value[name], want)
		}
	}
	for name, want := range map[string]int32{"AUDIENCE_SHARED": 0, "AUDIENCE_EVERYBODY": 1, "AUDIENCE_NOBODY": 2} {
		if Audience_value[name] != want {
			t.Errorf("%s = %d, want %d", name, Audience_value[name], want)
		}
	}
	for name, want := range map[string]int32{"CONVERSATION_DIRECT": 1, "CONVERSATION_GROUP": 2} {
		if ConversationKind_value[name] != want {
			t.Errorf("%s = %d, want %d", name, ConversationKind_value[name], want)
		}
	}
}
