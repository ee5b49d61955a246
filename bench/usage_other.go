//go:build !linux

package bench

import (
	"errors"
	"time"
)

// readUsage knows the time only. What processes use is read on Linux; elsewhere
// a report is without it.
func readUsage(int) (usage, error) { return usage{at: time.Now()}, nil }

func peakMemory(int) (uint64, error) { return 0, errors.ErrUnsupported }
