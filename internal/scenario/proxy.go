package scenario

import (
	"net"
	"sync"
	"time"
)

// side is who bytes go to.
type side int

const (
	toServer side = iota
	toClient
)

// proxy is the network between one actor and the server. Its faults hold for the
// connections that are open and those that come, until they are cleared.
type proxy struct {
	listener net.Listener
	upstream func() (string, bool) // where the server listens; false while it is down
	wg       sync.WaitGroup

	mu      sync.Mutex // guards below
	links   map[*link]bool
	made    int       // links so far
	refuse  time.Time // connections are refused until then
	faults  [2]faults // by side
	closing bool
}

// faults are what happens to bytes on their way to one side.
type faults struct {
	delay    time.Duration
	split    bool
	cutting  bool // after cutAfter more bytes
	cutAfter int
}

// link is one connection through the proxy.
type link struct {
	ends  [2]*net.TCPConn // by side
	ended chan struct{}
	once  sync.Once

	silent [2]bool // guarded by proxy.mu
}

// end closes both ends: by a reset if it is a cut.
func (l *link) end(reset bool) {
	l.once.Do(func() {
		close(l.ended)
		for _, c := range l.ends {
			if reset {
				_ = c.SetLinger(0)
			}
			_ = c.Close()
		}
	})
}

func newProxy(upstream func() (string, bool)) (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: l, upstream: upstream, links: make(map[*link]bool)}
	p.wg.Go(p.accept)
	return p, nil
}

// connections is how many were made so far.
func (p *proxy) connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.made
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

// close ends the proxy and all its connections.
func (p *proxy) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.closing = true
	p.mu.Unlock()
	p.cut()
	p.wg.Wait()
}

func (p *proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() { p.connect(c.(*net.TCPConn)) })
	}
}

// connect joins a client with the server, or refuses it.
func (p *proxy) connect(c *net.TCPConn) {
	p.mu.Lock()
	refused := time.Now().Before(p.refuse)
	p.mu.Unlock()
	at, up := p.upstream()
	var s net.Conn
	if up && !refused {
		s, _ = net.DialTimeout("tcp", at, 5*time.Second) // without one it is refused
	}
	if s == nil {
		_ = c.SetLinger(0)
		_ = c.Close()
		return
	}
	l := &link{ends: [2]*net.TCPConn{s.(*net.TCPConn), c}, ended: make(chan struct{})}
	p.mu.Lock()
	closing := p.closing
	p.links[l] = true
	p.made++
	p.mu.Unlock()
	if closing {
		l.end(true)
	}
	p.wg.Go(func() { p.carry(l, toServer) })
	p.carry(l, toClient)
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
}

// parcel is bytes on their way. Without any it is the end of them.
type parcel struct {
	bytes []byte
	due   time.Time
}

// parcelsMax bounds what is on its way in one direction; more is not read yet.
const parcelsMax = 1024

// carry moves the bytes of a link in one direction until it ends.
func (p *proxy) carry(l *link, to side) {
	way := make(chan parcel, parcelsMax)
	p.wg.Go(func() {
		defer close(way)
		for {
			b := make([]byte, 16<<10)
			n, err := l.ends[1-to].Read(b)
			p.mu.Lock()
			due := time.Now().Add(p.faults[to].delay)
			p.mu.Unlock()
			if n > 0 {
				select {
				case way <- parcel{b[:n], due}:
				case <-l.ended:
					return
				}
			}
			if err != nil {
				select {
				case way <- parcel{due: due}:
				case <-l.ended:
				}
				return
			}
		}
	})
	for x := range way {
		select {
		case <-time.After(time.Until(x.due)):
		case <-l.ended:
		}
		if !p.hand(l, to, x.bytes) {
			break
		}
	}
	<-l.ended
	for range way { // so that its reader ends
	}
}

// hand gives bytes to one end. It reports false once there is nothing more to
// carry.
func (p *proxy) hand(l *link, to side, b []byte) bool {
	p.mu.Lock()
	f := &p.faults[to]
	silent, split := l.silent[to], f.split
	cut := false
	if f.cutting && !silent {
		if f.cutAfter -= len(b); f.cutAfter < 0 {
			b, cut, f.cutting = b[:len(b)+f.cutAfter], true, false
		}
	}
	p.mu.Unlock()
	switch {
	case silent:
		return len(b) > 0 // and the other end never hears of it
	case len(b) == 0 && !cut:
		l.end(false)
		return false
	}
	step := len(b)
	if split {
		step = 1
	}
	for len(b) > 0 {
		n := min(step, len(b))
		if _, err := l.ends[to].Write(b[:n]); err != nil {
			l.end(true)
			return false
		}
		b = b[n:]
	}
	if cut {
		p.cut()
	}
	return !cut
}

// cut resets all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.end(true)
	}
}

// silence has the connections that are open carry nothing more to these sides,
// not even their end. Those that come are not silent.
func (p *proxy) silence(sides []side) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		for _, s := range sides {
			l.silent[s] = true
		}
	}
}

// set changes the faults towards some sides.
func (p *proxy) set(sides []side, change func(*faults)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range sides {
		change(&p.faults[s])
	}
}

// refuseFor has connections refused for a time.
func (p *proxy) refuseFor(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = time.Now().Add(d)
}

// clear ends all faults but those of silent connections, which it ends.
func (p *proxy) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults, p.refuse = [2]faults{}, time.Time{}
	for l := range p.links {
		if l.silent[toServer] || l.silent[toClient] {
			l.end(true)
		}
	}
}
