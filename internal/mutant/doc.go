// Package mutant holds the named faults that tests put into Parley to prove
// that they would notice. In an ordinary build On is a constant false and the
// compiler removes every fault; built with the tag mutants, the environment
// variable PARLEY_MUTANT names the one that is alive.
package mutant

// Name is one seeded fault.
type Name string

// The faults, each caught by a named test or by the simulator; docs/TESTING.md
// says by which.
const (
	AckBeforeWrite      Name = "ack-before-write"
	EpochReused         Name = "epoch-reused"
	DirSyncForgotten    Name = "dir-sync-forgotten"
	TwoFramesInOneWrite Name = "two-frames-in-one-write"
	CutBeforeSegment    Name = "cut-before-segment"
	CutPastLog          Name = "cut-past-log"
	LinkedAgain         Name = "linked-again"
	ReplaySkipped       Name = "replay-skipped"
	OptionInApply       Name = "option-in-apply"
	DiskInApply         Name = "disk-in-apply"
	DeleteBeforeCommit  Name = "delete-before-commit"
	NumberOutOfOrder    Name = "number-out-of-order"
)

// PushDropped loses every push. It is no fault to catch but one to survive: with
// it alive devices come to show the same, later.
const (
	PushDropped Name = "push-dropped"
)

// All lists the faults to catch in the order of docs/TESTING.md.
var All = []Name{
	CutBeforeSegment, CutPastLog, LinkedAgain, ReplaySkipped, AckBeforeWrite,
	DirSyncForgotten, EpochReused, TwoFramesInOneWrite, OptionInApply,
	DiskInApply, DeleteBeforeCommit, NumberOutOfOrder,
}
