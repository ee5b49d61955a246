package scenario

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Scenario is one file.
type Scenario struct {
	File   string   `json:"-"` // without its .json
	Name   string   `json:"name"`
	Proves string   `json:"proves"`
	Flags  []string `json:"flags"` // of the server, besides the usual ones
	// FailsAt is the step, counted from 1, at which the scenario must fail: then
	// it tests the runners.
	FailsAt int              `json:"failsAt"`
	Actors  map[string]Actor `json:"actors"`
	Steps   []Step           `json:"steps"`
}

// Actor is a device of a user. Without a User it is named like him.
type Actor struct {
	User    string `json:"user"`
	CatchUp int    `json:"catchUp"` // messages of a conversation read after an absence
	TokenMs int64  `json:"tokenMs"` // how long each of its tokens holds; an hour where it does not say
}

// Step is one thing that happens. One of the first four fields is set; which
// others may be is in clients/scenarios/format.json.
type Step struct {
	Do       string   `json:"do,omitempty"`
	Stage    string   `json:"stage,omitempty"`
	Expect   string   `json:"expect,omitempty"`
	Together [][]Step `json:"together,omitempty"`

	Actor   string `json:"actor,omitempty"`
	In      string `json:"in,omitempty"`
	As      string `json:"as,omitempty"`
	Draft   string `json:"draft,omitempty"`
	Fails   string `json:"fails,omitempty"` // the name of the code that a Do is refused with
	Within  int    `json:"within,omitempty"`
	For     int    `json:"for,omitempty"`
	Towards string `json:"towards,omitempty"`
	Of      string `json:"of,omitempty"`

	Text       string   `json:"text,omitempty"`
	Title      string   `json:"title,omitempty"`
	Peer       string   `json:"peer,omitempty"`
	User       string   `json:"user,omitempty"`
	Users      []string `json:"users,omitempty"`
	Members    []string `json:"members,omitempty"`
	Role       string   `json:"role,omitempty"`
	Starting   string   `json:"starting,omitempty"`
	Rooms      []string `json:"rooms,omitempty"`
	Name       *string  `json:"name,omitempty"`
	Picture    *string  `json:"picture,omitempty"`
	LastSeenTo string   `json:"lastSeenTo,omitempty"`
	Error      string   `json:"error,omitempty"`

	Count   int  `json:"count,omitempty"`
	Size    int  `json:"size,omitempty"`
	Bytes   int  `json:"bytes,omitempty"`
	AtLeast int  `json:"atLeast,omitempty"`
	AtMost  int  `json:"atMost,omitempty"`
	Ms      int  `json:"ms,omitempty"`
	UpTo    int  `json:"upTo,omitempty"`
	From    int  `json:"from,omitempty"`
	To      int  `json:"to,omitempty"`
	Fresh   bool `json:"fresh,omitempty"`

	Unread bool `json:"unread,omitempty"`
	Active bool `json:"active,omitempty"`

	Is  any   `json:"is,omitempty"`  // text, a number or a boolean
	Are Lines `json:"are,omitempty"` // texts
}

// Lines are texts. In a file, {"each": "ann: {i}", "from": 1, "to": 3} stands for
// three of them.
type Lines []string

// Format is clients/scenarios/format.json: what may stand in a scenario.
type Format struct {
	Scenario map[string]string            `json:"scenario"`
	Actor    map[string]string            `json:"actor"`
	Line     map[string]string            `json:"line"`
	Do       map[string]map[string]string `json:"do"`
	Stage    map[string]map[string]string `json:"stage"`
	Expect   map[string]map[string]string `json:"expect"`
	All      map[string]map[string]string `json:"all"`
	Words    map[string][]string          `json:"words"`
}

// verbs are those of a kind of step.
func (f *Format) verbs(kind string) map[string]map[string]string {
	return map[string]map[string]map[string]string{"do": f.Do, "stage": f.Stage, "expect": f.Expect}[kind]
}

// LoadFormat reads the table of a folder of scenarios.
func LoadFormat(folder fs.FS) (*Format, error) {
	b, err := fs.ReadFile(folder, "format.json")
	if err != nil {
		return nil, err
	}
	f := &Format{}
	if err := decodeStrict(bytes.NewReader(b), f); err != nil {
		return nil, fmt.Errorf("format.json: %w", err)
	}
	return f, nil
}

// Load reads all scenarios of a folder, in the order of their names.
func Load(folder fs.FS) ([]*Scenario, error) {
	f, err := LoadFormat(folder)
	if err != nil {
		return nil, err
	}
	files, err := fs.Glob(folder, "*.json")
	if err != nil {
		return nil, err
	}
	var all []*Scenario
	var errs []error
	for _, file := range files {
		if file == "format.json" {
			continue
		}
		b, err := fs.ReadFile(folder, file)
		if err != nil {
			return nil, err
		}
		s, err := f.Parse(b)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", file, err))
			continue
		}
		s.File = strings.TrimSuffix(path.Base(file), ".json")
		all = append(all, s)
	}
	return all, errors.Join(errs...)
}

// Parse reads a scenario. What the format does not name is an error; what is
// repeated stands there as often as it happens.
func (f *Format) Parse(b []byte) (*Scenario, error) {
	var raw map[string]any
	if err := decodeStrict(bytes.NewReader(b), &raw); err != nil {
		return nil, err
	}
	c := checker{f: f, actors: make(map[string]bool)}
	if actors, ok := raw["actors"].(map[string]any); ok {
		for name := range actors {
			c.actors[name] = true
		}
	}
	if steps, ok := raw["steps"].([]any); ok {
		expanded, err := expand(steps)
		if err != nil {
			return nil, err
		}
		raw["steps"] = expanded
	}
	if err := c.object("scenario", raw, f.Scenario); err != nil {
		return nil, err
	}
	b, err := json.Marshal(raw)
	if err != nil {
		return nil, err
	}
	s := &Scenario{}
	if err := decodeStrict(bytes.NewReader(b), s); err != nil {
		return nil, err
	}
	for name, a := range s.Actors {
		if a.User == "" {
			a.User = name
		}
		if a.TokenMs == 0 {
			a.TokenMs = time.Hour.Milliseconds()
		}
		s.Actors[name] = a
	}
	return s, nil
}

// repeatMax bounds how often something may be repeated, so that a slip of the
// pen is an error and no flood.
const repeatMax = 10_000

// expand puts steps in place of {"repeat": n, "steps": […]}: n times, each time
// with its number in place of {i}.
func expand(steps []any) ([]any, error) {
	var all []any
	for _, s := range steps {
		m, ok := s.(map[string]any)
		if branches, is := m["together"].([]any); ok && is {
			for i, b := range branches {
				if list, is := b.([]any); is {
					expanded, err := expand(list)
					if err != nil {
						return nil, err
					}
					branches[i] = expanded
				}
			}
		}
		if !ok || m["repeat"] == nil {
			all = append(all, s)
			continue
		}
		n, isNumber := m["repeat"].(float64)
		inner, isList := m["steps"].([]any)
		if !isNumber || !isList || n < 1 || n > repeatMax || n != math.Trunc(n) || len(m) != 2 {
			return nil, errors.New(`a repetition is {"repeat": number, "steps": […]} and no more`)
		}
		for i := 1; i <= int(n); i++ {
			expanded, err := expand(substitute(inner, strconv.Itoa(i)).([]any))
			if err != nil {
				return nil, err
			}
			all = append(all, expanded...)
		}
	}
	return all, nil
}

// substitute puts a number in place of {i} in all texts, but in those of a line
// that stands for several.
func substitute(v any, i string) any {
	switch v := v.(type) {
	case string:
		return strings.ReplaceAll(v, "{i}", i)
	case []any:
		w := make([]any, len(v))
		for k := range v {
			w[k] = substitute(v[k], i)
		}
		return w
	case map[string]any:
		w := make(map[string]any, len(v))
		for k := range v {
			w[k] = v[k]
			if v["each"] == nil {
				w[k] = substitute(v[k], i)
			}
		}
		return w
	}
	return v
}

// checker holds one scenario to the format.
type checker struct {
	f      *Format
	actors map[string]bool
}

// object checks the fields of an object, without those in besides.
func (c checker) object(what string, o map[string]any, fields map[string]string, besides ...string) error {
	for _, name := range slices.Sorted(maps.Keys(o)) {
		if slices.Contains(besides, name) {
			continue
		}
		kind, ok := fields[name]
		if !ok {
			return fmt.Errorf("%s: unknown field %q", what, name)
		}
		v, err := c.value(strings.TrimSuffix(kind, "!"), o[name])
		if err != nil {
			return fmt.Errorf("%s: %s: %w", what, name, err)
		}
		o[name] = v
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if _, there := o[name]; !there && strings.HasSuffix(fields[name], "!") {
			return fmt.Errorf("%s: %q is missing", what, name)
		}
	}
	return nil
}

// value checks a value, and returns what stands for it.
func (c checker) value(kind string, v any) (any, error) {
	ok := false
	switch kind {
	case "text":
		_, ok = v.(string)
	case "number":
		var n float64
		n, ok = v.(float64)
		ok = ok && n == math.Trunc(n) && n >= 0
	case "boolean":
		_, ok = v.(bool)
	case "texts":
		var list []any
		list, ok = v.([]any)
		for _, x := range list {
			_, is := x.(string)
			ok = ok && is
		}
	case "lines":
		return c.lines(v)
	case "actor":
		var name string
		name, ok = v.(string)
		ok = ok && c.actors[name]
	case "actors":
		return v, c.actorsOf(v)
	case "steps":
		return v, c.steps(v)
	default:
		var word string
		word, ok = v.(string)
		ok = ok && slices.Contains(c.f.Words[kind], word)
	}
	if !ok {
		return nil, fmt.Errorf("%v is not of kind %q", v, kind)
	}
	return v, nil
}

func (c checker) lines(v any) (any, error) {
	list, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf("%v is no list", v)
	}
	texts := []string{}
	for _, x := range list {
		if text, ok := x.(string); ok {
			texts = append(texts, text)
			continue
		}
		each, ok := x.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("%v is neither a text nor several", x)
		}
		if err := c.object("line", each, c.f.Line); err != nil {
			return nil, err
		}
		from, to := int(each["from"].(float64)), int(each["to"].(float64))
		if to-from > repeatMax {
			return nil, errors.New("too many lines")
		}
		for i := from; i <= to; i++ {
			texts = append(texts, strings.ReplaceAll(each["each"].(string), "{i}", strconv.Itoa(i)))
		}
	}
	return texts, nil
}

func (c checker) actorsOf(v any) error {
	actors, ok := v.(map[string]any)
	if !ok || len(actors) == 0 {
		return errors.New("no actors")
	}
	for name, a := range actors {
		o, ok := a.(map[string]any)
		if !ok {
			return fmt.Errorf("%s is no object", name)
		}
		if err := c.object(name, o, c.f.Actor); err != nil {
			return err
		}
	}
	return nil
}

func (c checker) steps(v any) error {
	list, ok := v.([]any)
	if !ok || len(list) == 0 {
		return errors.New("no steps")
	}
	for i, x := range list {
		o, ok := x.(map[string]any)
		if !ok {
			return fmt.Errorf("step %d is no object", i+1)
		}
		if err := c.step(o); err != nil {
			return fmt.Errorf("step %d: %w", i+1, err)
		}
	}
	return nil
}

func (c checker) step(o map[string]any) error {
	if branches, ok := o["together"].([]any); ok && len(o) == 1 {
		for _, b := range branches {
			if err := c.steps(b); err != nil {
				return fmt.Errorf("together: %w", err)
			}
		}
		return nil
	}
	for _, kind := range []string{"do", "stage", "expect"} {
		verb, ok := o[kind].(string)
		if !ok {
			continue
		}
		fields, known := c.f.verbs(kind)[verb]
		if !known {
			return fmt.Errorf("%s: unknown %q", kind, verb)
		}
		fields = maps.Clone(fields)
		maps.Copy(fields, c.f.All[kind])
		return c.object(verb, o, fields, kind)
	}
	return errors.New("it is none of do, stage, expect, together and repeat")
}
