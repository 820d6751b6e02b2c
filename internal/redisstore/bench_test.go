package redisstore

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

// Grants that are due, of so many clients, each with a connection of its own; and round trips of PING, for comparison.
func BenchmarkGrant(b *testing.B) {
	s := newServer(b)
	ctx := context.Background()
	for name, limits := range map[string]pacer.Limits{
		"ping": nil, "paced": {pacer.Every(time.Nanosecond)}, "sliding": {pacer.Per(10_000, time.Millisecond).With(pacer.SlidingWindow)},
		"three": {pacer.Every(time.Nanosecond), pacer.Per(1e9, time.Hour).With(pacer.SlidingWindow), pacer.Per(1e9, time.Hour).With(pacer.FixedWindow)},
	} {
		for _, clients := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("%s/%d", name, clients), func(b *testing.B) {
				var mu sync.Mutex
				var all []time.Duration
				stores := make([]*Store, clients)
				for i := range stores {
					stores[i] = s.open(b, name, Options{Limits: limits})
				}
				b.ResetTimer()
				var wg sync.WaitGroup
				for i, st := range stores {
					wg.Go(func() {
						var took []time.Duration
						for k := i; k < b.N; k += clients {
							start := time.Now()
							var err error
							if limits == nil {
								err = st.client.Ping(ctx).Err()
							} else {
								err = st.WaitN(ctx, 1)
							}
							if err != nil {
								b.Error(err)
								return
							}
							took = append(took, time.Since(start))
						}
						mu.Lock()
						all = append(all, took...)
						mu.Unlock()
					})
				}
				wg.Wait()
				b.StopTimer()
				slices.Sort(all)
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "grants/s")
				b.ReportMetric(float64(all[len(all)/2].Microseconds()), "p50-us")
				b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "p99-us")
			})
		}
	}
}
