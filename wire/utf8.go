package wire

import "unicode/utf8"

// utf8Checker checks text that comes in pieces. A piece may end inside a
// letter, but not behind a byte with which no letter goes on.
type utf8Checker struct {
	pending [utf8.UTFMax]byte // the beginning of a letter
	n       int               // its bytes so far
}

// check reports whether the text is still valid with b behind it.
func (c *utf8Checker) check(b []byte) bool {
	for c.n > 0 && len(b) > 0 {
		c.pending[c.n] = b[0]
		c.n, b = c.n+1, b[1:]
		letter := c.pending[:c.n]
		if !utf8.FullRune(letter) {
			continue
		}
		if !utf8.Valid(letter) {
			return false
		}
		c.n = 0
	}
	whole := len(b) - unfinished(b)
	c.n += copy(c.pending[c.n:], b[whole:])
	return utf8.Valid(b[:whole])
}

// end reports whether the text ends behind a whole letter.
func (c *utf8Checker) end() bool { return c.n == 0 }

// unfinished is the number of bytes at the end of b that begin a letter and do
// not end it.
func unfinished(b []byte) int {
	for i := 1; i < utf8.UTFMax && i <= len(b); i++ {
		tail := b[len(b)-i:]
		if utf8.RuneStart(tail[0]) {
			if utf8.FullRune(tail) {
				return 0
			}
			return i
		}
	}
	return 0
}
