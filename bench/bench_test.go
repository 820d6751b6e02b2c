//go:build unix

package main

import (
	"math"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		f    figure
		want float64
	}{{figure{3}, 3}, {figure{9, 1, 2}, 2}, {figure{4, 1, 3, 2}, 2.5}} {
		if got := c.f.median(); got != c.want {
			t.Errorf("median of %v: %v, not %v", c.f, got, c.want)
		}
	}
}

func TestWatched(t *testing.T) {
	type read struct {
		lines int
		at    time.Duration
	}
	const rate = 1000
	for name, c := range map[string]struct {
		reads     []read
		early     int
		rateError float64
		deviation float64 // in s
	}{
		"exact":                  {[]read{{1, 0}, {1, 1e6}, {1, 2e6}}, 0, 0, 0},
		"all late alike":         {[]read{{1, 5e6}, {1, 6e6}, {1, 7e6}}, 0, 0, 0},
		"a nanosecond early":     {[]read{{1, 0}, {1, 1e6 - 1}}, 1, 1e-6, 0},
		"late, then caught up":   {[]read{{1, 0}, {2, 2e6}}, 0, 0, 1e-3},
		"the last of three only": {[]read{{1, 0}, {2, 1e6}}, 1, 1, 0.5e-3},
		"a crowd at the start":   {[]read{{4, 0}, {1, 4e6}}, 3, 0, math.Sqrt(3) * 1e-3},
	} {
		var w watched
		for _, r := range c.reads {
			w.add(r.lines, r.at, rate)
		}
		if w.early != c.early {
			t.Errorf("%s: %d early, not %d", name, w.early, c.early)
		}
		if got := w.rateError(rate); math.Abs(got-c.rateError) > 1e-9 {
			t.Errorf("%s: rate error %v, not %v", name, got, c.rateError)
		}
		if got := w.deviation(); math.Abs(got-c.deviation) > 1e-9 {
			t.Errorf("%s: standard deviation %v, not %v", name, got, c.deviation)
		}
	}
}
