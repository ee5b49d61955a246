//go:build !linux

package bench

import (
	"errors"
	"time"
)

// usage is what the machine and the two processes have used so far. It is known
// on Linux only; elsewhere a report is without it.
type usage struct {
	at                       time.Time
	harness, server, machine time.Duration
	written                  uint64
	flushes                  float64
}

func readUsage(int) (usage, error) { return usage{at: time.Now()}, nil }

func peakMemory(int) (uint64, error) { return 0, errors.ErrUnsupported }
