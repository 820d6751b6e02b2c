//go:build linux || darwin

package lockfile

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/throttle-cli/throttle/internal/storetest"
	"github.com/throttle-cli/throttle/pacer"
)

// In a bubble the clock is the bubble's, and exact; nobody wakes anybody there, since a futex would not let time pass.
func TestConformancePortable(t *testing.T) {
	storetest.Run(t, storetest.Factory{New: func(t *testing.T, limit pacer.Limit, debt bool) func() storetest.Client {
		return newClients(t, Options{Limit: limit, Debt: debt, hooks: bubble()})
	}})
}

func TestConformance(t *testing.T) {
	storetest.Run(t, storetest.Factory{RealTime: true, New: func(t *testing.T, limit pacer.Limit, debt bool) func() storetest.Client {
		return newClients(t, Options{Limit: limit, Debt: debt})
	}})
}

// bubble returns the hooks that make a File work in a synctest bubble. It is called in one.
func bubble() hooks {
	start := time.Now()
	return hooks{portable: true, clock: clock{
		boot: [16]byte{1},
		now:  func() int64 { return int64(time.Hour + time.Since(start)) },
	}}
}

func newClients(t *testing.T, o Options) func() storetest.Client {
	path := filepath.Join(t.TempDir(), "dir", "f")
	var base time.Time
	return func() storetest.Client {
		f, err := Open(path, "", o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		if base.IsZero() {
			base = time.Now() // read first: slots may look earlier than they are, not later
			base = base.Add(-time.Duration(f.clock.now()))
		}
		return client{f, base}
	}
}

type client struct {
	*File
	boot time.Time // when the host was booted, by one reading of the clocks
}

// A reservation tells its slot by one reading of the clocks, so that the time between slots is exact.
type reservation struct {
	*Reservation
	boot time.Time
}

func (r reservation) Slot() time.Time {
	if r.Reservation.Slot().IsZero() {
		return time.Time{}
	}
	return r.boot.Add(r.SinceBoot())
}

func (c client) Wait(ctx context.Context, n int) error { return c.WaitN(ctx, n) }

func (c client) Reserve(n int) (storetest.Reservation, error) {
	r, err := c.File.Reserve(context.Background(), n)
	return reservation{r, c.boot}, err
}

func (c client) Try(n int) (bool, time.Duration, error) {
	return c.File.Try(context.Background(), n)
}

func (c client) SetLimit(limit pacer.Limit) error {
	return c.File.SetLimit(context.Background(), limit)
}

func (c client) SetLimits(limits pacer.Limits) error {
	return c.File.SetLimits(context.Background(), limits)
}

func (r reservation) Throttled(f pacer.Feedback) (pacer.Cooldown, error) {
	return r.Reservation.Throttled(context.Background(), f)
}

func (c client) SetPaused(paused bool) error {
	return c.File.SetPaused(context.Background(), paused)
}

func (c client) SetCooldown(d time.Duration) error {
	return c.File.SetCooldown(context.Background(), d)
}

func (c client) Effective() (pacer.Limit, error) {
	s, err := c.Status()
	return s.Effective, err
}

var (
	_ storetest.FeedbackClient = client{}
	_ storetest.LimitsClient   = client{}
)

// Die closes the file behind the back of its owner, as the kernel does.
func (c client) Die() {
	c.mu <- struct{}{}
	defer func() { <-c.mu }()
	if o, ok := c.owners.(*fileOwners); ok && o.held != noHandle {
		_ = o.held.close()
		o.held = noHandle
	}
	if c.waker != nil {
		c.waker.close() // the mapping holds the file, too
	}
	_ = c.h.close()
	c.closed = true
}
