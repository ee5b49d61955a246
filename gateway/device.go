package gateway

import (
	"encoding/hex"
	"net/http"
	"net/url"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wire"
)

// The limits of what a client says of its device, in bytes.
const (
	deviceNameMax     = 64
	devicePlatformMax = 32
)

// readDevice reads which device a client is from the query of its URL: its id,
// and a name and a platform for its user to read. A client that names none is
// nameless, and has neither.
func readDevice(query string) (*wire.Device, *refusal) {
	d := &wire.Device{}
	if query == "" {
		return d, nil
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return d, refuseDevice("the query is malformed")
	}
	for _, name := range []string{"device", "name", "platform"} {
		if len(values[name]) > 1 {
			return d, refuseDevice(name + " stands twice")
		}
	}
	id, err := hex.DecodeString(values.Get("device"))
	switch {
	case err != nil || len(id) != 0 && len(id) != len(parley.DeviceID{}):
		return d, refuseDevice("device is not 32 hexadecimal digits")
	case len(id) > 0 && parley.DeviceID(id).IsZero():
		return d, refuseDevice("device is not 16 random bytes")
	case !plain(values.Get("name"), deviceNameMax):
		return d, refuseDevice("name is not up to 64 bytes of plain text")
	case !plain(values.Get("platform"), devicePlatformMax):
		return d, refuseDevice("platform is not up to 32 bytes of plain text")
	}
	if len(id) == 0 {
		return d, nil
	}
	d.Device, d.Name, d.Platform = id, values.Get("name"), values.Get("platform")
	return d, nil
}

func refuseDevice(reason string) *refusal {
	return refuse(http.StatusBadRequest, parley.BadRequest.String()+": "+reason)
}

// plain reports whether text is UTF-8 without control characters and line ends.
func plain(s string, size int) bool {
	if len(s) > size || !utf8.ValidString(s) {
		return false
	}
	for _, c := range s {
		if unicode.IsControl(c) || c == '\u2028' || c == '\u2029' {
			return false
		}
	}
	return true
}

// EndDevice closes the sessions of one of a user's devices. A handshake of it
// that was under way is refused as revoked.
func (s *Server) EndDevice(u parley.UserID, d parley.DeviceID, code wire.CloseCode, reason string) {
	s.shutOut.add(u, d)
	for _, c := range s.registry.of(u) {
		if c.device == d && c.end(code, reason) {
			s.counters.revoked.Add(1)
		}
	}
	s.Flush()
}

// Device is the device of a session, false if the session has ended.
func (s *Server) Device(session wire.SessionID) (parley.DeviceID, bool) {
	c := s.registry.find(session)
	if c == nil {
		return parley.DeviceID{}, false
	}
	return c.device, true
}

// Sessions appends the sessions of a user.
func (s *Server) Sessions(u parley.UserID, into []wire.SessionID) []wire.SessionID {
	for _, c := range s.registry.of(u) {
		into = append(into, c.id)
	}
	return into
}

func refuseRevoked() *refusal {
	return refuse(http.StatusForbidden, parley.Revoked.String()).closing(wire.CloseRevoked)
}

// shutOut remembers the devices that EndDevice named last. A session of one may
// not be among its user's sessions yet: its token was believed a moment before.
// So whoever admits a session looks here afterwards.
type shutOut struct {
	mu    sync.Mutex // guards below
	count uint64
	last  [shutOutKept]ended
}

type ended struct {
	user   parley.UserID
	device parley.DeviceID
}

// shutOutKept is how many may be named during one handshake; where there were
// more, it has to be tried again.
const shutOutKept = 256

func (o *shutOut) add(u parley.UserID, d parley.DeviceID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last[o.count%shutOutKept] = ended{u, d}
	o.count++
}

// mark is now, for since.
func (o *shutOut) mark() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.count
}

// since refuses a device that was named after a mark.
func (o *shutOut) since(mark uint64, u parley.UserID, d parley.DeviceID) *refusal {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.count-mark > shutOutKept {
		return again(http.StatusServiceUnavailable, "too many devices are being revoked")
	}
	for ; mark < o.count; mark++ {
		if o.last[mark%shutOutKept] == (ended{u, d}) {
			return refuseRevoked()
		}
	}
	return nil
}
