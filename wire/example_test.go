package wire_test

import (
	"fmt"

	"github.com/parleychat/parley/wire"
)

// A client sends a request, a server reads it and answers.
func Example() {
	request := &wire.Request{Id: 1, Send: &wire.Send{
		Conversation: []byte("0123456789abcdef"), Stream: 7, Number: 1, Kind: wire.Kind_KIND_TEXT, Text: "hello",
	}}
	payload := wire.AppendRequest(nil, wire.Binary, request)
	key := [4]byte{1, 2, 3, 4} // a client draws a random one for each frame
	socket := wire.AppendHeader(nil, wire.Header{Fin: true, Opcode: wire.OpBinary, Masked: true, Key: key, Length: len(payload)})
	wire.Mask(payload, key)
	socket = append(socket, payload...)

	frames := wire.Reassembler{Server: true}
	var decoder wire.RequestDecoder
	for len(socket) > 0 {
		m, n, err := frames.Next(socket)
		if err != nil || n == 0 {
			break
		}
		socket = socket[n:]
		requests, err := decoder.Decode(wire.Binary, m.Payload)
		if err != nil {
			fmt.Println(err)
			break
		}
		for _, r := range requests {
			fmt.Println("asked to send:", r.Send.Text)
			reply := &wire.ServerMessage{ReplyTo: r.Id, Sent: &wire.Sent{Seq: 42, Version: 50}}
			fmt.Printf("%s", wire.AppendServerMessage(nil, wire.JSON, reply))
		}
	}
	// Output:
	// asked to send: hello
	// {"replyTo":1,"sent":{"seq":"42","version":"50"}}
}
