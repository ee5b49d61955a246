package chat

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/parleychat/parley"
)

// The cases are those that docs/PROTOCOL.md shows to the writers of clients. Each
// runs twice: with its messages in a head, and in segments.
func TestUnread(t *testing.T) {
	cases := unreadCases(t)
	if len(cases) < 20 {
		t.Fatalf("%d cases in the table", len(cases))
	}
	w := open(t, Options{})
	for _, flush := range []bool{false, true} {
		for i, c := range cases {
			who := make(map[string]Login)
			for _, name := range []string{"A", "B", "C", "D"} {
				who[name] = w.user(name + strconv.Itoa(i) + strconv.FormatBool(flush))
			}
			t.Run(c[0], func(t *testing.T) {
				sub := *w
				sub.t = t
				sub.unreadCase(t, c, who, flush)
			})
		}
	}
}

// unreadCases are the rows of the table in the section about unread counts.
func unreadCases(t *testing.T) (cases [][]string) {
	page, err := os.ReadFile("../docs/PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(page), "\n## What counts as unread\n")
	if !ok {
		t.Fatal("docs/PROTOCOL.md has no section about unread counts")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	_, table, ok := strings.Cut(section, "\n| what happens |")
	if !ok {
		t.Fatal("the section has no table of cases")
	}
	for i, line := range strings.Split(table, "\n") {
		if i < 2 {
			continue // the rest of the head
		}
		if !strings.HasPrefix(line, "|") {
			break
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if len(cells) != 7 {
			t.Fatalf("%d cells in %q", len(cells), line)
		}
		cases = append(cases, cells)
	}
	return cases
}

func (w *world) unreadCase(t *testing.T, cells []string, who map[string]Login, flush bool) {
	ctx := t.Context()
	a, b := who["A"], who["B"]
	steps := strings.Split(cells[0], ";")
	var c parley.ConversationID
	if steps[0] == "direct" {
		c, steps = w.direct(a, b), steps[1:]
	} else {
		c = w.group(b, a, who["C"])
	}
	for _, step := range steps {
		f := append(strings.Fields(step), "", "", "")
		if f[0] == "" {
			continue
		}
		if flush {
			w.flush()
		}
		actor, object := who[f[0]], who[f[2]]
		n, _ := strconv.Atoi(f[2])
		switch f[1] {
		case "sends":
			w.say(actor, c, "x")
		case "reads":
			w.mark(actor, c, 0, parley.Seq(n))
		case "receives":
			w.mark(actor, c, parley.Seq(n), 0)
		case "flags":
			w.check(w.MarkUnread(ctx, actor.Identity, c, true))
		case "adds":
			w.check(w.Add(ctx, actor.Identity, c, object.User))
		case "removes":
			w.check(w.Remove(ctx, actor.Identity, c, object.User))
		case "leaves":
			w.check(w.Leave(ctx, actor.Identity, c))
		case "promotes":
			w.check(w.SetRole(ctx, actor.Identity, c, object.User, parley.RoleAdmin))
		default:
			t.Fatalf("cannot read %q", step)
		}
	}
	st, err := w.State(a.Identity, c)
	if cells[1] == "-" {
		want(t, err, parley.NotMember)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	got := []uint64{uint64(st.Last), uint64(st.Ordinal), uint64(st.ReadOrdinal), st.Own, st.OwnAtRead, st.Unread()}
	for i, v := range got {
		if strconv.FormatUint(v, 10) != cells[i+1] {
			t.Errorf("last, ordinal, read ordinal, own, own at read, unread = %d, want %v", got, cells[1:])
			break
		}
	}
	if n := w.recount(a, c); n != st.Unread() {
		t.Errorf("unread %d, recounted %d", st.Unread(), n)
	}
	if st.MarkedUnread != strings.Contains(cells[0], "flags") {
		t.Errorf("marked as unread: %v", st.MarkedUnread)
	}
}
