//go:build !linux

package bench

import "runtime"

// thisMachine describes where a report was made.
func thisMachine(string) Machine {
	return Machine{Cores: runtime.NumCPU(), Kernel: runtime.GOOS}
}
