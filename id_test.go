package parley

import (
	"errors"
	"strings"
	"testing"
)

func TestIDsSurviveTheirText(t *testing.T) {
	id := DirectConversation(7, UserID{1, 2, 3}, UserID{0xff})
	got, err := ParseConversationID(id.String())
	if err != nil || got != id {
		t.Fatalf("parse %s = %s, %v", id, got, err)
	}
	if v := id[6] >> 4; v != 8 {
		t.Fatalf("UUID version = %d, want 8", v)
	}
}

func TestBadIDsAreRefused(t *testing.T) {
	good := UserID{9}.String()
	for _, s := range []string{"", "x", strings.Repeat("a", 36), good + "0", strings.Replace(good, "0", "g", 1), strings.Repeat("é", 18)} {
		if _, err := ParseUserID(s); !errors.Is(err, ErrBadID) {
			t.Errorf("ParseUserID(%q) = %v, want ErrBadID", s, err)
		}
	}
}

func TestDirectConversationsDifferByTenant(t *testing.T) {
	a, b := UserID{1}, UserID{2}
	if DirectConversation(0, a, b) == DirectConversation(1, a, b) {
		t.Fatal("two tenants share a conversation")
	}
}
