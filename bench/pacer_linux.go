package bench

import (
	"encoding/binary"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// pacer sleeps to the microsecond. The runtime's own timers count in
// milliseconds while a process is idle, which at light load is more than what
// is measured; a timer of the kernel, waited for like a socket, is exact and
// keeps no thread.
type pacer struct{ timer *os.File }

func newPacer() (*pacer, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("timer: %w", err)
	}
	return &pacer{os.NewFile(uintptr(fd), "timer")}, nil
}

// sleep returns after d, or at once if d is not above zero.
func (p *pacer) sleep(d time.Duration) error {
	if d <= 0 {
		return nil
	}
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}
	raw, err := p.timer.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	if err := raw.Control(func(fd uintptr) { set = unix.TimerfdSettime(int(fd), 0, &spec, nil) }); err != nil {
		return err
	}
	if set != nil {
		return set
	}
	var fired [8]byte
	if _, err := p.timer.Read(fired[:]); err != nil {
		return err
	}
	if binary.NativeEndian.Uint64(fired[:]) == 0 {
		return fmt.Errorf("timer: did not fire")
	}
	return nil
}

func (p *pacer) close() error { return p.timer.Close() }
