// Package invariant holds assertions about ourselves. A violated one is a bug
// of Parley's, never of a caller's or a disk's, and stops the process: a server
// that no longer knows what it holds must not acknowledge anything.
package invariant

import "fmt"

// Violation is what Violated panics with.
type Violation string

// Error is the text of the violation.
func (v Violation) Error() string { return "BUG: " + string(v) }

// Violated stops the process with a formatted reason.
func Violated(format string, args ...any) {
	panic(Violation(fmt.Sprintf(format, args...)))
}
