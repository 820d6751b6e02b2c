//go:build unix

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"testing"
	"time"

	"go.uber.org/ratelimit"
	"golang.org/x/time/rate"

	"github.com/throttle-cli/throttle/pacer"
)

// idle measures a grant in the process, where nothing has to be waited for.
func idle() section {
	return section{
		name:  "idle",
		title: "A grant of an idle limiter",
		about: "`Wait` of a pacer next to that of golang.org/x/time/rate and `Take` of go.uber.org/ratelimit, as the Go benchmarks of ./bench\n" +
			"have them: nobody waits, and one unit is there each nanosecond. A round is 0.2 s of each. And a grant of a sliding window\n" +
			"that is full all the time: it takes the place of the one that has left.",
		measure: func(b *bench) ([]row, error) {
			testing.Init()
			if err := flag.Set("test.benchtime", "200ms"); err != nil {
				return nil, err
			}
			var sides []side
			for _, l := range idleLimiters() {
				sides = append(sides, benchmarked(l.grants))
			}
			for _, n := range windowSizes() {
				sides = append(sides, benchmarked(windowGrants(n)))
			}
			all, err := takeTurns(3*b.rounds, sides...) // they are short
			if err != nil {
				return nil, err
			}
			return idleRows(all), nil
		},
	}
}

// idleRows makes rows of figures in the order of idleLimiters and windowSizes. The better one of the peers has the target.
func idleRows(all [][]figure) (rows []row) {
	const ns, allocs = 0, 1
	peers := idleLimiters()[1:]
	better := 1
	for i := range peers {
		if all[1+i][ns].median() < all[better][ns].median() {
			better = 1 + i
		}
	}
	for i, p := range peers {
		r := row{what: "`Wait` of a pacer", unit: nanoseconds(), ours: all[0][ns], peer: p.name, theirs: all[1+i][ns]}
		if 1+i == better {
			r.goal, r.most = relative, 1.2
		}
		rows = append(rows, r)
	}
	rows = append(rows, row{what: "allocations of it", unit: number(), ours: all[0][allocs], worst: true, goal: absolute, most: 0})
	for i, n := range windowSizes() {
		rows = append(rows, row{
			what: fmt.Sprintf("a grant of a sliding window of %d", n), unit: nanoseconds(), ours: all[1+len(peers)+i][ns], goal: absolute, most: 1e-6,
		})
	}
	return rows
}

// benchmarked returns the seconds and the allocations of one pass of a benchmark.
func benchmarked(f func(*testing.B)) side {
	return func() ([]float64, error) {
		r := testing.Benchmark(f)
		if r.N == 0 {
			return nil, errors.New("a benchmark has failed")
		}
		return []float64{r.T.Seconds() / float64(r.N), float64(r.AllocsPerOp())}, nil
	}
}

// An idleLimiter is one of those that are compared, ours first.
type idleLimiter struct {
	name   string
	grants func(*testing.B)
}

func idleLimiters() []idleLimiter {
	ctx := context.Background()
	return []idleLimiter{
		{"pacer", func(b *testing.B) {
			p := pacer.New(pacer.Every(time.Nanosecond))
			b.ReportAllocs()
			for b.Loop() {
				_ = p.Wait(ctx)
			}
		}},
		{"x/time/rate", func(b *testing.B) {
			lim := rate.NewLimiter(1e9, 1)
			b.ReportAllocs()
			for b.Loop() {
				_ = lim.Wait(ctx)
			}
		}},
		{"uber ratelimit", func(b *testing.B) {
			lim := ratelimit.New(1e9)
			b.ReportAllocs()
			for b.Loop() {
				lim.Take()
			}
		}},
		{"uber ratelimit without slack", func(b *testing.B) {
			lim := ratelimit.New(1e9, ratelimit.WithoutSlack)
			b.ReportAllocs()
			for b.Loop() {
				lim.Take()
			}
		}},
	}
}

func windowSizes() []int64 { return []int64{100, 10_000} }

// windowGrants are those of a sliding window with room for n, which is full all the time.
func windowGrants(n int64) func(*testing.B) {
	return func(b *testing.B) {
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
	}
}
