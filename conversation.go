package parley

import "fmt"

// ConversationKind says how a conversation is made up.
type ConversationKind uint8

// The kinds of conversation. Their numbers are stored; they never change.
const (
	Direct ConversationKind = 1 // two users, an id derived from both
	Group  ConversationKind = 2 // up to 500 members
)

// String names the kind in lower case.
func (k ConversationKind) String() string {
	switch k {
	case Direct:
		return "direct"
	case Group:
		return "group"
	}
	return fmt.Sprintf("conversation(%d)", uint8(k))
}

// Role is what a member may do.
type Role uint8

// The roles, from least to most. Their numbers are stored; they never change.
const (
	RoleMember Role = 1 // may read and send
	RoleAdmin  Role = 2 // may also add and remove members
	RoleOwner  Role = 3 // may also give and take roles
)

// String names the role in lower case.
func (r Role) String() string {
	switch r {
	case RoleMember:
		return "member"
	case RoleAdmin:
		return "admin"
	case RoleOwner:
		return "owner"
	}
	return fmt.Sprintf("role(%d)", uint8(r))
}

// Identity is who a session speaks for: a user of a tenant.
type Identity struct {
	Tenant TenantID
	User   UserID
}
