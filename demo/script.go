package demo

import (
	"embed"
	"fmt"
	"math/rand/v2"
	"strings"
)

//go:embed words/*.txt
var words embed.FS

// A script is a short exchange. In the files of words, scripts are parted by an
// empty line, and each line begins with its voice:
//
//	a: [Are you home yet?|You home?]
//	b: In ten minutes, I still have to get {food}
//
// Of wordings in brackets one is taken. A name in braces is filled from
// slots.txt, {friend} with a person; within one performance {food} is always the
// same and {food2} another draw. \n and \t stand for themselves.
type script struct {
	lines  []scriptLine
	voices int
}

type scriptLine struct {
	voice int
	text  string
	raw   bool // taken as it stands: brackets are brackets
}

// voicesMax bounds the voices of a script: a, b, c and d.
const voicesMax = 4

// library is all scripts by file, and what fills their gaps.
type library struct {
	scripts map[string][]*script
	slots   map[string][]string
	replies map[string][]string
}

// rawScripts is the file whose lines are taken as they stand.
const rawScripts = "odd"

var scriptFiles = []string{
	"direct", "mono", "family", "work", "football", "books", "neighbours", "trip", "flat", rawScripts, "arabic", "hebrew",
}

// loadLibrary reads the embedded files. They are part of the program: a flaw in
// them is one of ours, and a test finds it.
func loadLibrary() (*library, error) {
	l := &library{scripts: make(map[string][]*script)}
	for _, name := range scriptFiles {
		text, err := words.ReadFile("words/" + name + ".txt")
		if err != nil {
			return nil, err
		}
		for block := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n\n") {
			s, err := parseScript(block, name == rawScripts)
			if err != nil {
				return nil, fmt.Errorf("demo: words/%s.txt: %w", name, err)
			}
			l.scripts[name] = append(l.scripts[name], s)
		}
	}
	var err error
	if l.slots, err = parseTable("slots"); err != nil {
		return nil, err
	}
	for name, lines := range l.slots {
		l.slots[name] = strings.Split(lines[0], "|")
	}
	l.replies, err = parseTable("replies")
	return l, err
}

func parseScript(block string, raw bool) (*script, error) {
	s := &script{}
	for line := range strings.SplitSeq(block, "\n") {
		voice, text, ok := strings.Cut(line, ": ")
		if !ok || len(voice) != 1 || voice[0] < 'a' || voice[0] >= 'a'+voicesMax {
			return nil, fmt.Errorf("no voice in %q", line)
		}
		text = strings.NewReplacer(`\n`, "\n", `\t`, "\t").Replace(text)
		v := int(voice[0] - 'a')
		s.voices = max(s.voices, v+1)
		s.lines = append(s.lines, scriptLine{voice: v, text: text, raw: raw})
	}
	return s, nil
}

// parseTable reads lines of the form "name: text".
func parseTable(name string) (map[string][]string, error) {
	text, err := words.ReadFile("words/" + name + ".txt")
	if err != nil {
		return nil, err
	}
	table := make(map[string][]string)
	for line := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n") {
		key, value, ok := strings.Cut(line, ": ")
		if !ok {
			return nil, fmt.Errorf("demo: words/%s.txt: no name in %q", name, line)
		}
		table[key] = append(table[key], value)
	}
	return table, nil
}

// performance fills the gaps of one script.
type performance struct {
	library *library
	rng     *rand.Rand
	friend  func() string
	filled  map[string]string
}

func (p *performance) begin() { clear(p.filled) }

// say is a line as it is written this time.
func (p *performance) say(l *scriptLine) string {
	if l.raw || !strings.ContainsAny(l.text, "[{") {
		return l.text
	}
	return p.expand(l.text)
}

func (p *performance) expand(text string) string {
	var b strings.Builder
	for {
		at := strings.IndexAny(text, "[{")
		if at < 0 {
			b.WriteString(text)
			return b.String()
		}
		b.WriteString(text[:at])
		closing := byte(']')
		if text[at] == '{' {
			closing = '}'
		}
		end := at + strings.IndexByte(text[at:], closing)
		inside := text[at+1 : end]
		if closing == ']' {
			wordings := strings.Split(inside, "|")
			b.WriteString(p.expand(wordings[p.rng.IntN(len(wordings))]))
		} else {
			b.WriteString(p.fill(inside))
		}
		text = text[end+1:]
	}
}

func (p *performance) fill(slot string) string {
	if v, ok := p.filled[slot]; ok {
		return v
	}
	kind := strings.TrimRight(slot, "0123456789")
	v := ""
	for range 4 { // {day2} shall not be {day}
		if kind == "friend" {
			v = p.friend()
		} else {
			v = p.library.slots[kind][p.rng.IntN(len(p.library.slots[kind]))]
		}
		if kind == slot || v != p.filled[kind] {
			break
		}
	}
	p.filled[slot] = v
	return v
}
