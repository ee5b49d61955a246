//go:build mutants

package mutant

import "os"

var alive = Name(os.Getenv("PARLEY_MUTANT"))

// On reports whether the fault is alive.
func On(n Name) bool { return n == alive }
