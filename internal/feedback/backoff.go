package feedback

import (
	"math"
	"time"
)

// Backoff is how long to wait before another attempt: longer each time, and at random, so that those who failed together
// do not try again together.
type Backoff struct {
	// Base is the longest wait after the first failure; it doubles with each further one. 0 is no wait at all.
	Base time.Duration
	// Most is what the longest wait grows to. 0 is no bound.
	Most time.Duration
}

// Longest returns the longest wait after failure number n, from 1: Base*2^(n-1), or Most if that is less. With a Base of
// 1 s and a Most of 60 s it is 1, 2, 4, 8, 16, 32, 60, 60, ... s.
func (b Backoff) Longest(n int) time.Duration {
	most := b.Most
	if most <= 0 {
		most = math.MaxInt64
	}
	d := max(b.Base, 0)
	for ; n > 1 && 0 < d && d < most; n-- {
		if d > most/2 {
			return most
		}
		d *= 2
	}
	return min(d, most)
}

// Delay returns the wait after failure number n, from 1: any duration up to Longest(n), each as likely as another. That is
// "full jitter" of https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/, where it makes the fewest
// calls. random(m) returns a number in [0, m), as rand.Int64N of math/rand/v2 does.
func (b Backoff) Delay(n int, random func(int64) int64) time.Duration {
	d := int64(b.Longest(n))
	if d == math.MaxInt64 {
		d--
	}
	if d == 0 {
		return 0
	}
	return time.Duration(random(d + 1))
}
