package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"unicode/utf8"
)

// depthMax is how deep JSON of a token or a key file may be nested.
const depthMax = 16

var errObject = errors.New("not one JSON object, or a member stands twice")

// parseObject reads one JSON object whose members are all different, at every
// level, in names compared letter for letter. encoding/json alone takes the
// last of equal members and the first that differs in case only, where another
// program may take another.
func parseObject(text []byte) (map[string]any, error) {
	if !utf8.Valid(text) || !json.Valid(text) {
		return nil, errObject
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	v, err := parseValue(d, depthMax)
	if err != nil {
		return nil, err
	}
	members, ok := v.(map[string]any)
	if !ok {
		return nil, errObject
	}
	return members, nil
}

// parseValue reads the next value of JSON that is known to be valid.
func parseValue(d *json.Decoder, depth int) (any, error) {
	token, err := d.Token()
	if err != nil || depth == 0 {
		return nil, errObject
	}
	switch token {
	case json.Delim('{'):
		return parseMembers(d, depth)
	case json.Delim('['):
		return parseList(d, depth)
	}
	return token, nil
}

func parseMembers(d *json.Decoder, depth int) (any, error) {
	members := make(map[string]any)
	for d.More() {
		token, err := d.Token()
		name, ok := token.(string)
		if err != nil || !ok {
			return nil, errObject
		}
		if _, twice := members[name]; twice {
			return nil, errObject
		}
		if members[name], err = parseValue(d, depth-1); err != nil {
			return nil, err
		}
	}
	return members, endOf(d)
}

func parseList(d *json.Decoder, depth int) (any, error) {
	list := []any{}
	for d.More() {
		v, err := parseValue(d, depth-1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, endOf(d)
}

// endOf reads the bracket that ends an object or a list.
func endOf(d *json.Decoder) error {
	_, err := d.Token()
	return err
}
