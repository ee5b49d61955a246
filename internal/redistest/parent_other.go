//go:build !linux

package redistest

import "os/exec"

// dieWithParent needs Linux; elsewhere a killed test leaves its servers.
func dieWithParent(*exec.Cmd) {}
