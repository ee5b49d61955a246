package parley

// Counts are what a member's unread count follows from, all of one moment. The
// server keeps them; nobody keeps the count itself, so it cannot drift.
type Counts struct {
	Ordinal     Ordinal // how many messages of the conversation count
	ReadOrdinal Ordinal // of these, how many stand up to the member's read watermark
	Own         uint64  // how many of all that count are the member's own
	OwnAtRead   uint64  // of these, how many stand up to his read watermark
}

// Unread is how many messages the member has not read: those after his read
// watermark that count, less his own. Everything that shows a count (list,
// badge, push, SDK) asks this function.
func (c Counts) Unread() uint64 {
	return uint64(c.Ordinal-c.ReadOrdinal) - (c.Own - c.OwnAtRead)
}
