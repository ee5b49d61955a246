package wire

// SessionID names a session inside one gateway process.
type SessionID uint64
