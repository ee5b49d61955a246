package leak

import (
	"fmt"
	"strings"
	"testing"
)

func TestLeftNamesWhoIsLeft(t *testing.T) {
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		<-stop
	}()
	if left := Left(); !strings.Contains(left, "TestLeftNamesWhoIsLeft") {
		t.Errorf("left = %q", left)
	}
	close(stop)
	<-stopped
	if code := Check(0); code != 0 {
		t.Errorf("status %d with nobody left", code)
	}
	if code := Check(3); code != 3 {
		t.Errorf("status %d of tests that failed with 3", code)
	}
}

func Example() {
	fmt.Printf("%q\n", Left())
	// Output: ""
}
