package main

import "testing"

// TestServeUsage has calls that are wrong in themselves end before anything is
// opened.
func TestServeUsage(t *testing.T) {
	for _, args := range [][]string{
		{"serve"},
		{"serve", "--dev", "--keys", "keys.json"},
		{"serve", "--dev", "more"},
		{"serve", "--dev", "--redis-tls"},
		{"serve", "--dev", "--redis-user", "parley"},
		{"serve", "--dev", "--redis-password-file", "x"},
		{"serve", "--dev", "--redis-prefix", "x"},
		{"serve", "--dev", "--gateway", "a"},
	} {
		if code := run(args); code != 2 {
			t.Errorf("%q ended with %d", args, code)
		}
	}
}
