package feedback_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/throttle-cli/throttle/internal/feedback"
)

func TestBackoff(t *testing.T) {
	s := time.Second
	for _, c := range []struct {
		b    feedback.Backoff
		n    int
		want time.Duration
	}{
		{feedback.Backoff{}, 1, 0},
		{feedback.Backoff{}, math.MaxInt, 0},
		{feedback.Backoff{Most: s}, 5, 0},
		{feedback.Backoff{Base: -s}, 5, 0},
		{feedback.Backoff{Base: s, Most: 60 * s}, 0, s},
		{feedback.Backoff{Base: s, Most: 60 * s}, 1, s},
		{feedback.Backoff{Base: s, Most: 60 * s}, 2, 2 * s},
		{feedback.Backoff{Base: s, Most: 60 * s}, 6, 32 * s},
		{feedback.Backoff{Base: s, Most: 60 * s}, 7, 60 * s},
		{feedback.Backoff{Base: s, Most: 64 * s}, 7, 64 * s},
		{feedback.Backoff{Base: s, Most: 60 * s}, math.MaxInt, 60 * s},
		{feedback.Backoff{Base: 90 * s, Most: 60 * s}, 1, 60 * s},
		{feedback.Backoff{Base: s}, 11, 1024 * s},
		{feedback.Backoff{Base: s}, 1000, math.MaxInt64},
		{feedback.Backoff{Base: 1}, 63, 1 << 62},
		{feedback.Backoff{Base: 1}, 64, math.MaxInt64},
	} {
		if got := c.b.Longest(c.n); got != c.want {
			t.Errorf("%+v, failure %d: %v, want %v", c.b, c.n, got, c.want)
		}
		random := rand.New(rand.NewPCG(1, 2))
		for range 100 {
			if d := c.b.Delay(c.n, random.Int64N); d < 0 || d > c.want {
				t.Errorf("%+v, failure %d: waits %v", c.b, c.n, d)
			}
		}
	}
}

// Any duration up to the longest is as likely as another: the mean is half of it, and each tenth of it has a tenth.
func TestBackoffHasFullJitter(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	b := feedback.Backoff{Base: time.Second, Most: time.Minute}
	const runs = 10000
	var tenths [10]int
	for range runs {
		tenths[min(9, 10*b.Delay(3, random.Int64N)/(4*time.Second))]++
	}
	for i, n := range tenths {
		if n < runs/10-200 || n > runs/10+200 {
			t.Errorf("%d of %d waits are in tenth %d", n, runs, i)
		}
	}
	if d := b.Delay(2, func(n int64) int64 { return n - 1 }); d != 2*time.Second {
		t.Errorf("the longest wait is %v", d)
	}
}
