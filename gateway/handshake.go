package gateway

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"

	"github.com/parleychat/parley/wire"
)

// handshake is what a client asks for.
type handshake struct {
	key      string // Sec-WebSocket-Key
	protocol wire.Subprotocol
	token    string
	browser  bool         // the token came in the subprotocol list
	device   *wire.Device // never nil
}

// refusal is an answer to a handshake that is not taken.
type refusal struct {
	status int
	reason string
	header [2]string      // one more field, if its name is not empty
	close  wire.CloseCode // tells a browser, which does not see the status; 0 if it need not know
}

func refuse(status int, reason string) *refusal { return &refusal{status: status, reason: reason} }

func (r *refusal) with(name, value string) *refusal {
	r.header = [2]string{name, value}
	return r
}

func (r *refusal) closing(code wire.CloseCode) *refusal {
	r.close = code
	return r
}

func (r *refusal) write(w http.ResponseWriter) {
	if r.header[0] != "" {
		w.Header().Set(r.header[0], r.header[1])
	}
	w.Header().Set("Connection", "close")
	http.Error(w, r.reason, r.status)
}

// readHandshake judges a request by RFC 6455, section 4.2.1, and by what we ask
// for besides: a subprotocol that we know, one token, and no strange origin.
func readHandshake(r *http.Request, origins []string) (h handshake, no *refusal) {
	if no = checkRequest(r); no != nil {
		return h, no
	}
	if !originAllowed(r, origins) {
		return h, refuse(http.StatusForbidden, "this origin may not connect")
	}
	var ok bool
	if h.key, ok = single(r.Header, "Sec-WebSocket-Key"); !ok || !keyValid(h.key) {
		return h, refuse(http.StatusBadRequest, "one Sec-WebSocket-Key of 16 bytes in base64 is needed")
	}
	offered, ok := list(r.Header, "Sec-WebSocket-Protocol")
	if !ok {
		return h, refuse(http.StatusBadRequest, "Sec-WebSocket-Protocol is malformed")
	}
	if h.device, no = readDevice(r.URL.RawQuery); no != nil {
		return h, no
	}
	return h.choose(r, offered)
}

// checkRequest judges everything about a request but its key, its subprotocols
// and who makes it.
func checkRequest(r *http.Request) *refusal {
	switch {
	case r.ProtoMajor != 1 || r.ProtoMinor != 1:
		return refuse(http.StatusHTTPVersionNotSupported, "a WebSocket needs HTTP/1.1")
	case r.Method != http.MethodGet:
		return refuse(http.StatusMethodNotAllowed, "a WebSocket handshake is a GET").with("Allow", "GET")
	case r.TLS != nil:
		return refuse(http.StatusNotImplemented, "TLS ends in front of this server")
	case r.Host == "":
		return refuse(http.StatusBadRequest, "one Host is needed")
	case r.ContentLength != 0:
		return refuse(http.StatusBadRequest, "a WebSocket handshake has no body")
	case !has(r.Header, "Upgrade", "websocket") || !has(r.Header, "Connection", "upgrade"):
		return refuse(http.StatusUpgradeRequired, "a WebSocket handshake is needed").with("Upgrade", "websocket")
	}
	if version, ok := single(r.Header, "Sec-WebSocket-Version"); !ok || version != "13" {
		return refuse(http.StatusUpgradeRequired, "Sec-WebSocket-Version 13 is needed").with("Sec-WebSocket-Version", "13")
	}
	return nil
}

// choose takes the client's first subprotocol that we know, and its token: from
// the Authorization field, or from a browser's subprotocol list. Never from the
// URL, for those are kept in logs.
func (h handshake) choose(r *http.Request, offered []string) (handshake, *refusal) {
	tokens := 0
	if values := r.Header.Values("Authorization"); len(values) > 0 {
		scheme, token, ok := strings.Cut(values[0], " ")
		if len(values) > 1 || !ok || !strings.EqualFold(scheme, "Bearer") {
			return h, refuse(http.StatusUnauthorized, "Authorization is not one Bearer token").with("WWW-Authenticate", "Bearer")
		}
		h.token = strings.TrimSpace(token)
		tokens++
	}
	for _, name := range offered {
		if token, ok := strings.CutPrefix(name, wire.TokenSubprotocolPrefix); ok {
			h.token, h.browser = token, true
			tokens++
		} else if p, ok := wire.ParseSubprotocol(name); ok && h.protocol == 0 {
			h.protocol = p
		}
	}
	switch {
	case h.protocol == 0:
		return h, refuse(http.StatusBadRequest, "one of the subprotocols "+wire.Binary.String()+" and "+wire.JSON.String()+" is needed")
	case tokens > 1:
		return h, refuse(http.StatusBadRequest, "more than one token")
	case h.token == "":
		return h, refuse(http.StatusUnauthorized, "a token is needed").with("WWW-Authenticate", "Bearer")
	}
	return h, nil
}

// originAllowed keeps pages of other sites from connecting with what a browser
// holds for its user.
func originAllowed(r *http.Request, allowed []string) bool {
	values := r.Header.Values("Origin")
	if len(values) == 0 {
		return true
	}
	if len(values) > 1 {
		return false
	}
	for _, origin := range allowed {
		if origin == "*" || strings.EqualFold(origin, values[0]) {
			return true
		}
	}
	origin, err := url.Parse(values[0])
	return err == nil && origin.Host != "" && strings.EqualFold(origin.Host, r.Host)
}

func keyValid(key string) bool {
	b, err := base64.StdEncoding.Strict().DecodeString(key)
	return err == nil && len(b) == 16 && len(key) == 24
}

// single is the value of a field that must be there exactly once.
func single(h http.Header, name string) (string, bool) {
	values := h.Values(name)
	if len(values) != 1 {
		return "", false
	}
	return values[0], true
}

// list is the entries of a comma-separated field. It is false if one is no
// token in the sense of RFC 9110.
func list(h http.Header, name string) ([]string, bool) {
	var entries []string
	for _, value := range h.Values(name) {
		for entry := range strings.SplitSeq(value, ",") {
			entry = strings.Trim(entry, " \t")
			if entry == "" || strings.ContainsFunc(entry, notToken) {
				return nil, false
			}
			entries = append(entries, entry)
		}
	}
	return entries, true
}

func notToken(c rune) bool {
	return c <= ' ' || c > '~' || strings.ContainsRune(`()<>@,;:\"/[]?={}`, c)
}

// has reports whether a comma-separated field has an entry, in any case.
func has(h http.Header, name, entry string) bool {
	for _, value := range h.Values(name) {
		for e := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.Trim(e, " \t"), entry) {
				return true
			}
		}
	}
	return false
}
