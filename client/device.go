package client

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/wire"
)

// Device is what the user's list of devices calls one of them.
type Device struct {
	Name     string // up to 64 bytes
	Platform string // up to 32 bytes
}

// DeviceState is a device in the user's own list.
type DeviceState struct {
	ID parley.DeviceID // zero for the clients that name none, which count as one
	Device
	Created  time.Time
	LastSeen time.Time
	Online   bool
	Current  bool // it is the one that asks
}

// The limits of what a device is called, in bytes.
const (
	deviceNameMax     = 64
	devicePlatformMax = 32
)

// check refuses what the server would.
func (d Device) check() error {
	if !plain(d.Name, deviceNameMax) || !plain(d.Platform, devicePlatformMax) {
		return fmt.Errorf("client: device %.80q on %.80q: %w: at most %d and %d bytes of plain text",
			d.Name, d.Platform, parley.BadRequest, deviceNameMax, devicePlatformMax)
	}
	return nil
}

// plain reports whether text is UTF-8 without control characters and line ends.
func plain(s string, size int) bool {
	if len(s) > size || !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return false
		}
	}
	return true
}

// addTo names the device in the query of a URL, beside what stands there.
func (d Device) addTo(u *url.URL, id parley.DeviceID) {
	query := u.Query()
	query.Set("device", hex.EncodeToString(id[:]))
	for key, value := range map[string]string{"name": d.Name, "platform": d.Platform} {
		query.Del(key)
		if value != "" {
			query.Set(key, value)
		}
	}
	u.RawQuery = query.Encode()
}

// identify gives the store its id, once. It is kept before the server hears of
// it, so that no device is left behind there that was nobody's.
func (c *Client) identify() error {
	if !c.meta.Device.IsZero() && !c.o.NewDevice {
		return nil
	}
	_, _ = rand.Read(c.meta.Device[:]) // it does not fail
	meta := c.meta
	meta.Streams = slices.Clone(meta.Streams)
	return c.store.Apply(&Changes{Meta: &meta})
}

// device is this device's id.
func (c *Client) device() parley.DeviceID {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.meta.Device
}

// Devices asks for the user's own devices: those that have connected, and were
// not forgotten for others since.
func (c *Client) Devices(ctx context.Context) (devices []DeviceState, err error) {
	err = c.call(ctx, &wire.Request{Devices: &wire.ListDevices{}}, true, func(m *wire.ServerMessage) {
		if m.Devices == nil {
			return
		}
		for _, w := range m.Devices.Devices {
			devices = append(devices, deviceOf(w))
		}
	})
	return devices, err
}

// Revoke shuts one of the user's devices out: its connections end at once, and
// neither it nor the token that it used is let in again. The zero id stands for
// the clients that name none. Shutting out this very device stops the client
// with ErrRevoked.
func (c *Client) Revoke(ctx context.Context, id parley.DeviceID) error {
	q := &wire.RevokeDevice{}
	if !id.IsZero() {
		q.Device = id[:]
	}
	return c.done(ctx, &wire.Request{RevokeDevice: q}, true)
}
