package redisstore

import (
	"context"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/throttle-cli/throttle/internal/storetest"
	"github.com/throttle-cli/throttle/pacer"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	var keys atomic.Int64
	const heartbeat = 3 * time.Second
	storetest.Run(t, storetest.Factory{
		RealTime: true, Lease: heartbeat + time.Second,
		New: func(t *testing.T, limit pacer.Limit, debt bool) func() storetest.Client {
			key := "{conformance} " + strconv.FormatInt(keys.Add(1), 10)
			var base time.Time
			return func() storetest.Client {
				st := s.open(t, key, Options{Limits: pacer.Limits{limit}, Debt: debt, Heartbeat: heartbeat})
				if base.IsZero() {
					before := time.Now() // slots may look earlier than they are, not later
					a, err := st.send(context.Background(), "read")
					if err != nil {
						t.Fatal(err)
					}
					base = before.Add(-time.Duration(a.time()))
				}
				return client{st, base}
			}
		},
	})
}

type client struct {
	*Store
	base time.Time // when the clock of the server was 0, by one reading
}

// A reservation tells its slot by one reading of the clocks, so that the time between slots is exact.
type reservation struct {
	*Reservation
	base time.Time
}

func (r reservation) Slot() time.Time {
	at := r.Since1970()
	if at == 0 {
		return time.Time{}
	}
	return r.base.Add(at)
}

func (c client) Wait(ctx context.Context, n int) error { return c.WaitN(ctx, n) }

func (c client) Reserve(n int) (storetest.Reservation, error) {
	r, err := c.Store.Reserve(context.Background(), n)
	return reservation{r, c.base}, err
}

func (c client) Try(n int) (bool, time.Duration, error) { return c.Store.Try(context.Background(), n) }

func (c client) SetLimit(limit pacer.Limit) error {
	return c.Store.SetLimits(context.Background(), pacer.Limits{limit})
}

func (c client) SetLimits(limits pacer.Limits) error {
	return c.Store.SetLimits(context.Background(), limits)
}

func (r reservation) Throttled(f pacer.Feedback) (pacer.Cooldown, error) {
	return r.Reservation.Throttled(context.Background(), f)
}

func (c client) SetPaused(paused bool) error { return c.Store.SetPaused(context.Background(), paused) }

func (c client) SetCooldown(d time.Duration) error {
	return c.Store.SetCooldown(context.Background(), d)
}

func (c client) Effective() (pacer.Limit, error) {
	s, err := c.Status(context.Background())
	return s.Effective, err
}

var (
	_ storetest.FeedbackClient = client{}
	_ storetest.LimitsClient   = client{}
)

// Die cuts the client off from the server, which hears nothing of it any more.
func (c client) Die() { _ = c.client.Close() }
