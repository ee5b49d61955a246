package redistest

import (
	"os/exec"
	"syscall"
)

// dieWithParent ends the server with a test that was killed, or panicked, before
// it could.
func dieWithParent(p *exec.Cmd) {
	p.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
