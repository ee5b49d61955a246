package scenario

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
)

// TestFormatIsStrict holds the reader to the examples that every runner refuses.
func TestFormatIsStrict(t *testing.T) {
	f, err := LoadFormat(scenarios)
	if err != nil {
		t.Fatal(err)
	}
	b, err := fs.ReadFile(scenarios, "testdata/refused.json")
	if err != nil {
		t.Fatal(err)
	}
	var refused []struct {
		Why      string
		Scenario json.RawMessage
	}
	if err := decodeStrict(bytes.NewReader(b), &refused); err != nil {
		t.Fatal(err)
	}
	for _, r := range refused {
		if _, err := f.Parse(r.Scenario); err == nil || !strings.Contains(err.Error(), r.Why) {
			t.Errorf("%s: %v, want %q", r.Scenario, err, r.Why)
		}
	}
	for _, broken := range []string{"", "[]", "{", `{"name":"n"} and more`} {
		if _, err := f.Parse([]byte(broken)); err == nil {
			t.Errorf("%q is taken for a scenario", broken)
		}
	}
}

// TestEverythingIsUsed finds what the format offers and no scenario needs.
func TestEverythingIsUsed(t *testing.T) {
	f, err := LoadFormat(scenarios)
	if err != nil {
		t.Fatal(err)
	}
	all, err := Load(scenarios)
	if err != nil {
		t.Fatal(err)
	}
	used := make(map[string]bool)
	var look func([]Step)
	look = func(steps []Step) {
		for _, s := range steps {
			used[s.Do+s.Stage+s.Expect] = true
			for _, branch := range s.Together {
				look(branch)
			}
		}
	}
	passing := 0
	for _, s := range all {
		if s.FailsAt == 0 {
			passing++
		}
		look(s.Steps)
	}
	for _, verbs := range []map[string]map[string]string{f.Do, f.Stage, f.Expect} {
		for _, verb := range slices.Sorted(maps.Keys(verbs)) {
			if !used[verb] {
				t.Errorf("no scenario uses %q", verb)
			}
		}
	}
	if passing < 30 {
		t.Errorf("%d scenarios, want 30", passing)
	}
}

func TestRepetition(t *testing.T) {
	f, err := LoadFormat(scenarios)
	if err != nil {
		t.Fatal(err)
	}
	s, err := f.Parse([]byte(`{"name": "n", "proves": "p", "actors": {"ann": {}}, "steps": [
		{"repeat": 2, "steps": [
			{"do": "send", "actor": "ann", "in": "room {i}", "text": "hello {i}"},
			{"expect": "messages", "actor": "ann", "in": "room {i}", "are": ["ann: {i}", {"each": "bob: {i}", "from": 3, "to": 4}]}]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Steps) != 4 || s.Steps[2].In != "room 2" || s.Steps[2].Text != "hello 2" {
		t.Fatalf("the steps are %v", s.Steps)
	}
	if got, want := s.Steps[3].Are, []string{"ann: 2", "bob: 3", "bob: 4"}; !slices.Equal(got, want) {
		t.Errorf("the lines are %q, want %q", got, want)
	}
}
