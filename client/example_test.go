package client_test

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"net"
	"net/http"

	"github.com/parleychat/parley/client"
	"github.com/parleychat/parley/wire"
)

// Ann writes to bob, and sees what comes.
func ExampleClient() {
	url, stop := exampleServer()
	defer stop()

	c, err := client.Open(client.Options{
		URL:   url, // "ws://127.0.0.1:8080/ws"
		Token: func(context.Context) (string, error) { return "from: parley token ann --data DIR", nil },
	})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = c.Close() }()

	ctx := context.Background()
	room, err := c.CreateDirect(ctx, "bob")
	if err != nil {
		log.Fatal(err)
	}
	if _, err := c.SendText(room.ID, "hello"); err != nil {
		log.Fatal(err)
	}
	for e := range c.Events(ctx) {
		r, ok := e.(client.Received)
		if !ok {
			continue
		}
		for _, m := range r.Messages {
			fmt.Printf("%s: %s\n", m.From, m.Text())
			_ = c.MarkRead(m.Conversation, m.Seq)
			if m.From != "ann" {
				return
			}
		}
	}
	// Output:
	// ann: hello
	// bob: hello yourself
}

// A connection without an outbox, for tools.
func ExampleDial() {
	url, stop := exampleServer()
	defer stop()

	c, err := client.Dial(context.Background(), url, client.DialOptions{Token: "a token"})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := c.Write(&wire.Request{Id: 1, Create: &wire.Create{Peer: "bob"}}); err != nil {
		log.Fatal(err)
	}
	messages, err := c.Read()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(c.Welcome().User, messages[0].ReplyTo, messages[0].State.Peer.User)
	// Output: ann 1 bob
}

// exampleServer is a server that knows one conversation, in which bob answers.
// It stands in for a real one, so that the examples run alone.
func exampleServer() (url string, stop func()) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		socket, err := l.Accept()
		if err != nil {
			return
		}
		serveExample(socket)
	}()
	return "ws://" + l.Addr().String() + "/ws", func() { _ = l.Close(); <-done }
}

func serveExample(socket net.Conn) {
	defer func() { _ = socket.Close() }()
	r := bufio.NewReader(socket)
	q, err := http.ReadRequest(r)
	if err != nil {
		return
	}
	_, _ = fmt.Fprintf(socket, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: parley.v1.proto\r\n\r\n",
		wire.AcceptKey(q.Header.Get("Sec-WebSocket-Key")))
	say := func(m *wire.ServerMessage) {
		payload := wire.AppendServerMessage(nil, wire.Binary, m)
		_, _ = socket.Write(append(wire.AppendHeader(nil, wire.Header{Fin: true, Opcode: wire.OpBinary, Length: len(payload)}), payload...))
	}
	say(&wire.ServerMessage{Welcome: &wire.Welcome{User: "ann", Stream: 1, Incarnation: 1}})
	frames, decoder := wire.Reassembler{Server: true}, wire.RequestDecoder{}
	for b := []byte(nil); ; {
		f, n, err := frames.Next(b)
		if err != nil || f.Opcode == wire.OpClose {
			return
		}
		if n == 0 {
			part := make([]byte, 4096)
			n, err := r.Read(part)
			if err != nil {
				return
			}
			b = append(b, part[:n]...)
			continue
		}
		requests, err := decoder.Decode(wire.Binary, f.Payload)
		if err != nil {
			return
		}
		for _, q := range requests {
			answerExample(q, say)
		}
		b = b[n:]
	}
}

func answerExample(q *wire.Request, say func(*wire.ServerMessage)) {
	room := []byte("a room of 16 b.!")
	switch {
	case q.Sync != nil:
		say(&wire.ServerMessage{ReplyTo: q.Id, SyncPage: &wire.SyncPage{Incarnation: 1, Authoritative: true}})
	case q.Create != nil:
		say(&wire.ServerMessage{ReplyTo: q.Id, State: &wire.State{
			Conversation: room, Kind: wire.ConversationKind_CONVERSATION_DIRECT, Version: 1, Peer: &wire.Member{User: "bob"},
		}})
	case q.Send != nil:
		say(&wire.ServerMessage{ReplyTo: q.Id, Sent: &wire.Sent{Seq: 1, Version: 2, At: 1}})
		say(&wire.ServerMessage{Message: &wire.Message{
			Conversation: room, Seq: 2, Ordinal: 2, Version: 3, From: "bob", Kind: wire.Kind_KIND_TEXT, Text: q.Send.Text + " yourself",
		}})
	case q.Acknowledge != nil:
		say(&wire.ServerMessage{ReplyTo: q.Id, Done: &wire.Done{}})
	}
}
