package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"iter"
	"slices"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/parleychat/parley/internal/invariant"
)

// An item of a binary WebSocket message; items follow each other to its end:
//
//	+---------------------+---------+
//	| length (varint, ≤10)| message |
//	+---------------------+---------+
//
// An item of a JSON one is a line: an object and "\n". Objects hold no bare
// line feed, for JSON writes those in strings as \n. The last line may end with
// the message, and empty lines are read over.

var errTorn = errors.New("torn")

// marshaler is what the generated code gives every message.
type marshaler interface {
	SizeVT() int
	MarshalToSizedBufferVT(b []byte) (int, error)
}

// appendItem appends the binary form of a message after its length.
func appendItem[M marshaler](dst []byte, m M) []byte {
	size := m.SizeVT()
	dst = binary.AppendUvarint(dst, uint64(size))
	start := len(dst)
	dst = slices.Grow(dst, size)[:start+size]
	if n, err := m.MarshalToSizedBufferVT(dst[start:]); err != nil || n != size {
		// It fails only when a message is changed while it is encoded.
		invariant.Violated("wire: encoded %d of %d bytes: %v", n, size, err)
	}
	return dst
}

// cutItem cuts the first item off a binary payload that is not empty.
func cutItem(payload []byte) (item, rest []byte, err error) {
	size, n := binary.Uvarint(payload)
	if n <= 0 || size > uint64(len(payload)-n) {
		return nil, nil, errTorn
	}
	end := n + int(size)
	return payload[n:end:end], payload[end:], nil
}

// lines are the lines of a JSON payload that are not empty.
func lines(payload []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for len(payload) > 0 {
			line, rest, _ := bytes.Cut(payload, []byte{'\n'})
			payload = rest
			if line = bytes.TrimSpace(line); len(line) > 0 && !yield(line) {
				return
			}
		}
	}
}

// appendJSON appends a message as a line.
func appendJSON(dst []byte, m proto.Message) []byte {
	line, err := protojson.Marshal(m)
	if err != nil {
		// The one thing that JSON can not carry is a string that is not UTF-8.
		m = proto.Clone(m)
		makeUTF8(m.ProtoReflect())
		if line, err = protojson.Marshal(m); err != nil {
			invariant.Violated("wire: %v", err)
		}
	}
	// protojson puts in spaces at random, so that nobody relies on its bytes.
	// Ours are to be the same everywhere: tests and people compare them.
	var compact bytes.Buffer
	if err := json.Compact(&compact, line); err != nil {
		invariant.Violated("wire: protojson wrote no JSON: %v", err)
	}
	dst = append(dst, compact.Bytes()...)
	return append(dst, '\n')
}

// makeUTF8 puts U+FFFD in place of what is not UTF-8 in every string.
func makeUTF8(m protoreflect.Message) {
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		isString := field.Kind() == protoreflect.StringKind
		isMessage := field.Kind() == protoreflect.MessageKind
		switch {
		case isString && field.IsList():
			for i := range v.List().Len() {
				v.List().Set(i, protoreflect.ValueOfString(validUTF8(v.List().Get(i).String())))
			}
		case isString:
			m.Set(field, protoreflect.ValueOfString(validUTF8(v.String())))
		case isMessage && field.IsList():
			for i := range v.List().Len() {
				makeUTF8(v.List().Get(i).Message())
			}
		case isMessage:
			makeUTF8(v.Message())
		}
		return true
	})
}

func validUTF8(s string) string { return strings.ToValidUTF8(s, string(utf8.RuneError)) }
