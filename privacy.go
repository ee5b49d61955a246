package parley

// Privacy is to whom a user shows when he was seen last, and whether he is
// online. The numbers are stored; they never change.
type Privacy uint8

// The audiences. Everybody means every user of the tenant.
const (
	Shared    Privacy = 0 // who shares a conversation with him
	Everybody Privacy = 1
	Nobody    Privacy = 2
)
