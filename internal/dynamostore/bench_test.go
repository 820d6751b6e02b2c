package dynamostore_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/throttle-cli/throttle/internal/dynamostore"
	"github.com/throttle-cli/throttle/internal/dynamostore/dynamosdk"
	"github.com/throttle-cli/throttle/pacer"
)

// A meter counts requests.
type meter struct {
	dynamostore.Client
	writes, reads *atomic.Int64
}

func (m meter) Do(ctx context.Context, r dynamostore.Request) (dynamostore.Response, error) {
	if r.Op == dynamostore.OpUpdate {
		m.writes.Add(1)
	} else {
		m.reads.Add(1)
	}
	return m.Client.Do(ctx, r)
}

// Grants by clients that ask again at once: of a limit that nobody has to wait for, and of one that all wait for.
func BenchmarkGrant(b *testing.B) {
	s := newServer(b)
	for name, limit := range map[string]pacer.Limit{"due": pacer.Every(time.Nanosecond), "50 a second": pacer.Per(50, time.Second)} {
		for _, clients := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("%s/clients=%d", name, clients), func(b *testing.B) {
				var writes, reads atomic.Int64
				dial := func(ctx context.Context, at dynamostore.Address) (dynamostore.Client, error) {
					c, err := dynamosdk.Dial(ctx, at)
					return meter{c, &writes, &reads}, err
				}
				stores := make([]*dynamostore.Store, clients)
				for i := range stores {
					stores[i] = open(b, s.url(), b.Name()+fmt.Sprint(b.N), dynamostore.Options{Dial: dial, Limits: pacer.Limits{limit}})
				}
				var left atomic.Int64
				left.Store(int64(b.N))
				writes.Store(0)
				reads.Store(0)
				var mu sync.Mutex
				var took []time.Duration
				b.ResetTimer()
				var wg sync.WaitGroup
				for _, st := range stores {
					wg.Go(func() {
						for left.Add(-1) >= 0 {
							start := time.Now()
							if err := st.WaitN(context.Background(), 1); err != nil {
								b.Error(err)
								return
							}
							mu.Lock()
							took = append(took, time.Since(start))
							mu.Unlock()
						}
					})
				}
				wg.Wait()
				slices.Sort(took)
				n := float64(b.N)
				b.ReportMetric(float64(writes.Load())/n, "writes/grant")
				b.ReportMetric(float64(reads.Load())/n, "reads/grant")
				b.ReportMetric(n/b.Elapsed().Seconds(), "grants/s")
				b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
				b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
			})
		}
	}
}
