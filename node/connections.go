package node

import (
	"net"
	"net/http"
	"sync/atomic"
)

// connectionsMax bounds the connections of the public port that are no
// sessions: those that have not asked yet, and those that ask for pages. Past it
// new ones are closed. Sessions are the gateway's, with a bound of their own.
const connectionsMax = 4096

// connections counts them.
type connections struct {
	now     atomic.Int64
	refused atomic.Uint64
}

// changed implements http.Server.ConnState.
func (c *connections) changed(conn net.Conn, s http.ConnState) {
	switch s {
	case http.StateNew:
		if c.now.Add(1) > connectionsMax {
			c.refused.Add(1)
			_ = conn.Close() // its end comes here too
		}
	case http.StateHijacked, http.StateClosed:
		c.now.Add(-1)
	}
}
