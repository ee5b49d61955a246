package client

import (
	"math/rand/v2"
	"time"
)

// backoff is the pause before the nth attempt: a random part of what doubles
// with each.
func (o *Options) backoff(attempt int) time.Duration {
	limit := o.BackoffMin
	for range min(attempt, 32) {
		if limit >= o.BackoffMax {
			break
		}
		limit *= 2
	}
	return rand.N(min(limit, o.BackoffMax) + 1)
}
