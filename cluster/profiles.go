package cluster

import (
	"context"
	"fmt"

	"github.com/parleychat/parley"
	"github.com/parleychat/parley/chat"
	"github.com/parleychat/parley/wire"
)

// getProfiles answers with what users show of themselves. Of somebody who does not
// exist that is nothing.
func (r *Router) getProfiles(who parley.Identity, q *wire.GetProfiles) (*wire.ServerMessage, error) {
	if len(q.Users) > askedMax {
		return nil, fmt.Errorf("%w: %d users, at most %d", parley.BadRequest, len(q.Users), askedMax)
	}
	out := make([]*wire.Profile, len(q.Users))
	for i, subject := range q.Users {
		out[i] = &wire.Profile{User: subject}
		if u, ok := r.service.User(who.Tenant, subject); ok {
			p, _ := r.service.Profile(u)
			out[i] = wireProfile(subject, p, u == who.User)
		}
	}
	return profiles(out...), nil
}

func profiles(list ...*wire.Profile) *wire.ServerMessage {
	return &wire.ServerMessage{Profiles: &wire.Profiles{Profiles: list}}
}

// wireProfile is a profile as others see it, or as its own user does.
func wireProfile(subject string, p chat.Profile, own bool) *wire.Profile {
	out := &wire.Profile{User: subject, Name: p.Name, Picture: p.Picture}
	if own {
		out.LastSeenTo = wire.Audience(p.LastSeenTo)
	}
	return out
}

// setProfile changes the user's own, and tells it to his other sessions and to
// those that watch him.
func (r *Router) setProfile(ctx context.Context, j *job) (*wire.ServerMessage, error) {
	q, who := j.request.SetProfile, j.who
	change := chat.ProfileChange{Name: q.Name, Picture: q.Picture}
	if q.LastSeenTo != nil {
		if *q.LastSeenTo < wire.Audience_AUDIENCE_SHARED || *q.LastSeenTo > wire.Audience_AUDIENCE_NOBODY {
			return nil, fmt.Errorf("%w: audience %d", parley.BadRequest, *q.LastSeenTo)
		}
		to := parley.Privacy(*q.LastSeenTo)
		change.LastSeenTo = &to
	}
	before, _ := r.service.Profile(who.User)
	if _, err := r.service.SetProfile(ctx, who, change); err != nil {
		return nil, err
	}
	r.telling.Lock()
	j.then = r.telling.Unlock
	now, _ := r.service.Profile(who.User) // with what others have changed meanwhile, of whom the last tells all
	subject := r.subject(who.User)
	own := profiles(wireProfile(subject, now, true))
	if now != before {
		r.tellProfile(j, subject, now, own)
	}
	if now.LastSeenTo != before.LastSeenTo {
		var online [1]bool
		_ = r.presence.Online(ctx, []parley.UserID{who.User}, online[:]) // he is here, whatever others say
		r.tellPresence(who.User, online[0], true)
	}
	return own, nil
}

func (r *Router) tellProfile(j *job, subject string, p chat.Profile, own *wire.ServerMessage) {
	var mine, others []wire.SessionID
	for _, session := range r.sockets.Sessions(j.who.User, nil) {
		if session != j.session {
			mine = append(mine, session)
		}
	}
	if len(mine) > 0 {
		r.hint(mine, own)
	}
	last := wire.SessionID(0)
	for _, s := range r.watches.seers(j.who.User) {
		if s.who.User != j.who.User && s.session != last && r.belongs(s.who, s.conversation) {
			last = s.session
			others = append(others, last)
		}
	}
	if len(others) > 0 {
		r.hint(others, profiles(wireProfile(subject, p, false)))
	}
}
