package engine

import "errors"

// Errors of an engine. They are matched with errors.Is.
var (
	// ErrCorrupt reports durable bytes that contradict each other. Retrying
	// does not help; the message says where and what to do.
	ErrCorrupt = errors.New("engine: corrupt")

	// ErrLogLost reports a log that ends before the cut: its files were lost or
	// replaced by an older copy. The store must not be opened, for sequences
	// would be given twice.
	ErrLogLost = errors.New("engine: the log ends before the cut")

	// ErrLocked reports a folder that another process has open.
	ErrLocked = errors.New("engine: the folder is in use by another process")

	// ErrFailed reports that a write failed and the engine has ended. What was
	// not done may or may not be there after Open.
	ErrFailed = errors.New("engine: failed")

	// ErrClosed reports a use after Close.
	ErrClosed = errors.New("engine: closed")

	// ErrLost reports a batch that the log will never commit. It may be
	// appended again.
	ErrLost = errors.New("engine: batch lost by the log")
)
