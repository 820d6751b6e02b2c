//go:build linux || darwin

package lockfile

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

// BenchmarkBare is what no grant through a file can be cheaper than: lock, read, write, unlock.
func BenchmarkBare(b *testing.B) {
	h, err := newFile(filepath.Join(b.TempDir(), "f"), 0o600)
	if err != nil {
		b.Fatal(err)
	}
	defer h.close() //nolint:errcheck // a test
	page := make([]byte, pageSize)
	if err := h.writeAt(page, 0); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := h.lock(); err != nil {
			b.Fatal(err)
		}
		if _, err := h.readAt(page, 0); err != nil {
			b.Fatal(err)
		}
		if err := h.writeAt(page[:200], recordAt(1)); err != nil {
			b.Fatal(err)
		}
		if err := h.unlock(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkGrant is a grant that is due at once.
func BenchmarkGrant(b *testing.B) { benchGrant(b, pacer.Unlimited()) }

// BenchmarkGrantPaced is one of a limit that has room for more than can be asked for.
func BenchmarkGrantPaced(b *testing.B) { benchGrant(b, pacer.Per(3e9, time.Second)) }

func benchGrant(b *testing.B, limit pacer.Limit) {
	f := benchFile(b, limit)
	ctx := context.Background()
	for b.Loop() {
		if err := f.Wait(ctx); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkGrantAmong is a grant when others wait: it is asked for behind them, and collected. They belong to so many other
// open files.
func BenchmarkGrantAmong(b *testing.B) {
	for _, c := range []struct{ waiters, files int }{{1, 1}, {100, 1}, {1000, 1}, {1000, 1000}, {10_000, 1}} {
		b.Run(fmt.Sprintf("%d-of-%d", c.waiters, c.files), func(b *testing.B) {
			f := benchFile(b, pacer.Every(time.Nanosecond))
			ctx := context.Background()
			if err := f.SetLimit(ctx, pacer.Limit{}); err != nil { // so that they stay
				b.Fatal(err)
			}
			queue := make([]*Reservation, c.waiters)
			others := make([]*File, c.files) // whose locks are seen, as those of other processes are
			for i := range others {
				others[i] = benchOpen(b, f.path, pacer.Limit{})
			}
			for i := range queue {
				var err error
				if queue[i], err = others[i%c.files].Reserve(ctx, 1); err != nil {
					b.Fatal(err)
				}
			}
			// The head leaves, and one comes to the end: two updates, as it is when a slot has come.
			for i := 0; b.Loop(); i++ {
				if !queue[0].Cancel() {
					b.Fatal("it had left")
				}
				r, err := others[i%c.files].Reserve(ctx, 1)
				if err != nil {
					b.Fatal(err)
				}
				queue = append(queue[1:], r)
			}
		})
	}
}

// BenchmarkContended is a grant that is due at once, when four open files ask all the time.
func BenchmarkContended(b *testing.B) {
	f := benchFile(b, pacer.Unlimited())
	ctx := context.Background()
	b.SetParallelism(max(1, 4/runtime.GOMAXPROCS(0)))
	b.RunParallel(func(pb *testing.PB) {
		g, err := Open(f.path, "", Options{Limit: pacer.Unlimited()})
		if err != nil {
			b.Error(err)
			return
		}
		defer g.Close() //nolint:errcheck // a test
		for pb.Next() {
			if err := g.Wait(ctx); err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkLate shows how late after its slot a grant comes.
func BenchmarkLate(b *testing.B) {
	f := benchFile(b, pacer.Every(2*time.Millisecond))
	ctx := context.Background()
	var late []time.Duration
	for b.Loop() {
		r, err := f.Grant(ctx, 1)
		if err != nil {
			b.Fatal(err)
		}
		late = append(late, time.Duration(f.clock.now())-r.SinceBoot())
	}
	slices.Sort(late)
	b.ReportMetric(float64(late[len(late)/2].Microseconds()), "us-late-p50")
	b.ReportMetric(float64(late[len(late)*95/100].Microseconds()), "us-late-p95")
}

// BenchmarkOpen is the whole of what a process that takes one grant does.
func BenchmarkOpen(b *testing.B) {
	f := benchFile(b, pacer.Unlimited())
	ctx := context.Background()
	for b.Loop() {
		g, err := Open(f.path, "", Options{Limit: pacer.Unlimited()})
		if err != nil {
			b.Fatal(err)
		}
		if err := g.Wait(ctx); err != nil {
			b.Fatal(err)
		}
		if err := g.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func benchFile(b *testing.B, limit pacer.Limit) *File {
	b.Helper()
	return benchOpen(b, filepath.Join(b.TempDir(), "f"), limit)
}

func benchOpen(b *testing.B, path string, limit pacer.Limit) *File {
	b.Helper()
	f, err := Open(path, "", Options{Limit: limit})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = f.Close() })
	return f
}
