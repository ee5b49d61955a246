//go:build !race

package wal

// raceEnabled says that the race detector, which allocates, is watching.
const raceEnabled = false
