package chat

import (
	"context"
	"slices"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/engine"
)

// Profile is what a user shows of himself.
type Profile struct {
	Name    string // up to 100 bytes; empty is none
	Picture string // a reference of up to 512 bytes, into which nothing looks
	// LastSeenTo is to whom he shows whether he is online, and when he was.
	LastSeenTo parley.Privacy
}

// ProfileChange says what becomes of a profile. Nil leaves a part as it is.
type ProfileChange struct {
	Name, Picture *string
	LastSeenTo    *parley.Privacy
}

// Profile is a user's, and whether he is known. It reads memory alone.
func (s *Service) Profile(u parley.UserID) (p Profile, ok bool) {
	s.engine.View(s.place(u), func(v *engine.View) {
		if ok = v.Find(userKey(u)) != nil; !ok {
			return
		}
		if a := accountOf(v, u); a != nil {
			p = Profile{a.name, a.picture, a.privacy}
		}
	})
	return p, ok
}

// SetProfile changes what a user shows of himself, and returns all of it.
func (s *Service) SetProfile(ctx context.Context, by parley.Identity, to ProfileChange) (Profile, error) {
	var p Profile
	what := uint8(0)
	if to.Name != nil {
		what, p.Name = what|changeName, *to.Name
	}
	if to.Picture != nil {
		what, p.Picture = what|changePicture, *to.Picture
	}
	if to.LastSeenTo != nil {
		what, p.LastSeenTo = what|changePrivacy, *to.LastSeenTo
	}
	if err := checkText("name", p.Name, nameMax); err != nil {
		return Profile{}, err
	}
	if err := checkText("picture", p.Picture, pictureMax); err != nil {
		return Profile{}, err
	}
	if p.LastSeenTo > parley.Nobody {
		return Profile{}, parley.BadRequest
	}
	if what != 0 {
		err := s.appendAccount(ctx, by, kindProfile, appendProfile(nil, by.User, what, p))
		if err != nil {
			return Profile{}, err
		}
	}
	now, _ := s.Profile(by.User)
	return now, nil
}

// sharedMax bounds the lines of a list that are looked through for a common one.
const sharedMax = 1000

// Share reports whether two users belong to a conversation together now. Beside
// the direct one it looks through the list of the one who has fewer conversations,
// and no further than a thousand of them.
func (s *Service) Share(a, b parley.Identity) bool {
	if a.Tenant != b.Tenant {
		return false
	}
	if a.User == b.User || s.together(a, b, parley.DirectConversation(a.Tenant, a.User, b.User)) {
		return true
	}
	return slices.ContainsFunc(s.engine.Common(a.User, b.User, sharedMax), func(c parley.ConversationID) bool { return s.together(a, b, c) })
}

// together reports whether both belong to a conversation now.
func (s *Service) together(a, b parley.Identity, c parley.ConversationID) (ok bool) {
	s.engine.View(s.engine.Partition(a.Tenant, c), func(v *engine.View) {
		if _, row := rowOf(v, a, c); row != nil {
			ok = row.member(a.User) != nil && row.member(b.User) != nil
		}
	})
	return ok
}
