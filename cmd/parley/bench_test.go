package main

import "testing"

// TestBenchUsage has calls that are wrong in themselves end before a server is
// started.
func TestBenchUsage(t *testing.T) {
	for _, args := range [][]string{
		{"bench", "chat"},
		{"bench", "chat", "--rate", "5", "--inflight", "1"},
		{"bench", "chat", "--inflight", "1", "--users", "1"},
		{"bench", "chat", "--inflight", "1", "--users", "3", "--conversations", "4"},
		{"bench", "chat", "--inflight", "1", "--subprotocol", "parley.v2"},
		{"bench", "chat", "--inflight", "1", "--url", "ws://127.0.0.1:1/ws", "--data", "x"},
		{"bench", "chat", "--inflight", "many"},
		{"bench", "chat", "more"},
		{"bench", "sleep"},
	} {
		if code := run(args); code != 2 {
			t.Errorf("%q ended with %d", args, code)
		}
	}
	if code := run([]string{"bench", "chat", "--inflight", "1", "--url", "ws://127.0.0.1:1/ws"}); code != 1 {
		t.Errorf("a server that is not there: %d", code)
	}
}
