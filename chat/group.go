package chat

import (
	"context"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/parleychat/parley"
)

// CreateDirect makes the conversation between two users, or finds it.
func (s *Service) CreateDirect(ctx context.Context, by parley.Identity, other parley.UserID) (parley.ConversationID, error) {
	if other == by.User || other.IsZero() {
		return parley.ConversationID{}, parley.BadRequest
	}
	id := parley.DirectConversation(by.Tenant, by.User, other)
	return id, s.create(ctx, by, id, parley.Direct, "", []parley.UserID{other})
}

// CreateGroup makes a group whose owner is the caller.
func (s *Service) CreateGroup(ctx context.Context, by parley.Identity, title string, members []parley.UserID) (parley.ConversationID, error) {
	if err := checkText("title", title, titleMax); err != nil {
		return parley.ConversationID{}, err
	}
	id := parley.ConversationID(randomUUID())
	return id, s.create(ctx, by, id, parley.Group, title, members)
}

// usersMax bounds the users named in one command.
const usersMax = 1000

func (s *Service) create(ctx context.Context, by parley.Identity, id parley.ConversationID, kind parley.ConversationKind, title string, users []parley.UserID) error {
	if len(users) > usersMax {
		return fmt.Errorf("%w: %d users at once, at most %d", parley.GroupFull, len(users), usersMax)
	}
	return s.appendTo(ctx, by, id, kindCreate, appendCreate(nil, id, by.User, kind, title, users))
}

// Add makes users members of a group. Only an admin or the owner may.
func (s *Service) Add(ctx context.Context, by parley.Identity, c parley.ConversationID, users ...parley.UserID) error {
	if len(users) > usersMax {
		return fmt.Errorf("%w: %d users at once, at most %d", parley.GroupFull, len(users), usersMax)
	}
	return s.appendTo(ctx, by, c, kindAdd, appendAdd(nil, c, by.User, users))
}

// Remove ends a membership. An admin may remove members of a lower role;
// everybody may remove himself.
func (s *Service) Remove(ctx context.Context, by parley.Identity, c parley.ConversationID, who parley.UserID) error {
	return s.appendTo(ctx, by, c, kindRemove, appendRemove(nil, c, by.User, who))
}

// Leave ends the caller's own membership.
func (s *Service) Leave(ctx context.Context, by parley.Identity, c parley.ConversationID) error {
	return s.Remove(ctx, by, c, by.User)
}

// SetRole gives a member of a group another role. Only the owner may.
func (s *Service) SetRole(ctx context.Context, by parley.Identity, c parley.ConversationID, who parley.UserID, role parley.Role) error {
	return s.appendTo(ctx, by, c, kindRole, appendRole(nil, c, by.User, who, role))
}

// Rename gives a group another title. Only an admin or the owner may.
func (s *Service) Rename(ctx context.Context, by parley.Identity, c parley.ConversationID, title string) error {
	if err := checkText("title", title, titleMax); err != nil {
		return err
	}
	return s.appendTo(ctx, by, c, kindRename, appendRename(nil, c, by.User, title))
}

// checkText refuses a text that is no UTF-8, or too long.
func checkText(what, text string, bytesMax int) error {
	if len(text) > bytesMax || !utf8.ValidString(text) {
		return fmt.Errorf("%w: %s of %d bytes, at most %d of UTF-8", parley.BadRequest, what, len(text), bytesMax)
	}
	return nil
}

// Mute silences a conversation for its member until a time; the zero time ends
// it.
func (s *Service) Mute(ctx context.Context, by parley.Identity, c parley.ConversationID, until time.Time) error {
	value := uint64(0)
	if !until.IsZero() {
		value = uint64(max(until.UnixMicro(), 0))
	}
	return s.prefer(ctx, by, c, preferMute, value)
}

// MarkUnread shows a conversation as unread to its member until he reads on. No
// watermark falls.
func (s *Service) MarkUnread(ctx context.Context, by parley.Identity, c parley.ConversationID, unread bool) error {
	value := uint64(0)
	if unread {
		value = 1
	}
	return s.prefer(ctx, by, c, preferUnread, value)
}

func (s *Service) prefer(ctx context.Context, by parley.Identity, c parley.ConversationID, what uint8, value uint64) error {
	return s.appendTo(ctx, by, c, kindPrefer, appendPrefer(nil, c, by.User, what, value))
}

// Member is what members of a conversation see of each other.
type Member struct {
	User parley.UserID
	Role parley.Role
	parley.Watermarks
}

// Members lists the members of a conversation to one of them.
func (s *Service) Members(by parley.Identity, c parley.ConversationID) ([]Member, error) {
	var list []Member
	found := false
	s.viewPlace(by, c, func(row *conversation, m *member, _ parley.Seq) {
		if found = m.role != 0; !found {
			return
		}
		for i := range row.members {
			if m := &row.members[i]; m.role != 0 {
				list = append(list, Member{m.user, m.role, m.marks()})
			}
		}
	})
	if !found {
		return nil, parley.NotMember
	}
	return list, nil
}
