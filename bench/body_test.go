package bench

import (
	"testing"
	"time"
)

func TestStamp(t *testing.T) {
	fill := []byte("fill")
	want := stamp{run: 1 << 60, conversation: 2, sender: 3, number: 4, intended: 5 * time.Second}
	body := want.append(nil, fill)
	if got, ok := readStamp(body, fill); !ok || got != want {
		t.Errorf("%+v, %v", got, ok)
	}
	for name, bad := range map[string][]byte{
		"empty": nil, "short": body[:len(body)-1], "long": append(body[:len(body):len(body)], 0),
		"other fill": append(body[:len(body)-1:len(body)-1], 'x'),
	} {
		if _, ok := readStamp(bad, fill); ok {
			t.Errorf("%s: accepted", name)
		}
	}
}
