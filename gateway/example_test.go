package gateway_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/gateway"
	"github.com/parleychat/parley/wire"
)

// echo is a backend that stores nothing.
type echo struct{ server *gateway.Server }

func (e *echo) Authenticate(_ context.Context, token string, _ *wire.Device) (parley.Identity, *wire.Welcome, time.Time, error) {
	if token != "secret" {
		return parley.Identity{}, nil, time.Time{}, parley.BadToken
	}
	return parley.Identity{User: parley.UserID{1}}, &wire.Welcome{User: "ann"}, time.Time{}, nil
}

func (e *echo) Submit(session wire.SessionID, _ parley.Identity, requests []*wire.Request) {
	for _, r := range requests {
		e.server.Reply(session, &wire.ServerMessage{ReplyTo: r.Id, Done: &wire.Done{}})
	}
	e.server.Flush()
}

func (e *echo) Ended(wire.SessionID, parley.Identity, parley.DeviceID) {}

func Example() {
	server := gateway.New(gateway.Options{})
	if err := server.Start(&echo{server}); err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	web := httptest.NewServer(server)
	defer web.Close()

	handshake, _ := http.NewRequest(http.MethodGet, web.URL, nil)
	for name, value := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket",
		"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
		"Sec-WebSocket-Protocol": "parley.v1.json", "Authorization": "Bearer secret",
	} {
		handshake.Header.Set(name, value)
	}
	response, err := http.DefaultTransport.RoundTrip(handshake)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	fmt.Println(response.Status, response.Header.Get("Sec-WebSocket-Protocol"))
	// Output: 101 Switching Protocols parley.v1.json
}
