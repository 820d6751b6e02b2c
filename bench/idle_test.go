package main

import (
	"context"
	"testing"
	"time"

	"go.uber.org/ratelimit"
	"golang.org/x/time/rate"

	"github.com/throttle-cli/throttle/pacer"
)

// BenchmarkIdle is a grant of a limit that is idle: nobody waits, and it is due at once. One unit is there each nanosecond.
func BenchmarkIdle(b *testing.B) {
	ctx := context.Background()
	b.Run("pacer", func(b *testing.B) {
		p := pacer.New(pacer.Every(time.Nanosecond))
		b.ReportAllocs()
		for b.Loop() {
			_ = p.Wait(ctx)
		}
	})
	b.Run("x-time-rate", func(b *testing.B) {
		lim := rate.NewLimiter(1e9, 1)
		b.ReportAllocs()
		for b.Loop() {
			_ = lim.Wait(ctx)
		}
	})
	b.Run("uber-ratelimit", func(b *testing.B) {
		lim := ratelimit.New(1e9, ratelimit.WithoutSlack)
		b.ReportAllocs()
		for b.Loop() {
			lim.Take()
		}
	})
	b.Run("uber-ratelimit-slack", func(b *testing.B) {
		lim := ratelimit.New(1e9)
		b.ReportAllocs()
		for b.Loop() {
			lim.Take()
		}
	})
}

// BenchmarkWindow is a grant of a sliding window with room for 10,000, which is full all the time: it takes the place of the
// grant that has left it.
func BenchmarkWindow(b *testing.B) {
	for _, n := range []int64{100, 10_000} {
		b.Run(pacer.Per(n, time.Second).String(), func(b *testing.B) {
			s := pacer.NewSchedule(pacer.Per(n, time.Second).With(pacer.SlidingWindow))
			now := int64(0)
			for range n {
				now += int64(time.Second) / n
				s.Take(now, 1)
			}
			b.ReportAllocs()
			for b.Loop() {
				at, _ := s.Slot(now, 1)
				s.Take(at, 1)
				now = at
			}
		})
	}
}
