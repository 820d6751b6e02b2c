package dynamostore_test

import (
	"context"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/throttle-cli/throttle/internal/dynamostore"
	"github.com/throttle-cli/throttle/internal/dynamostore/dynamosdk"
	"github.com/throttle-cli/throttle/internal/storetest"
	"github.com/throttle-cli/throttle/pacer"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	var keys atomic.Int64
	const heartbeat = time.Second
	storetest.Run(t, storetest.Factory{
		RealTime: true, Lease: heartbeat + 2500*time.Millisecond,
		New: func(t *testing.T, limit pacer.Limit, debt bool) func() storetest.Client {
			key := "conformance " + strconv.FormatInt(keys.Add(1), 10)
			return func() storetest.Client {
				m := &mortal{}
				st := s.open(t, key, dynamostore.Options{Dial: m.dial, Limits: pacer.Limits{limit}, Debt: debt, Heartbeat: heartbeat})
				return client{st, m}
			}
		},
	})
}

// A mortal is a connection that can be cut off.
type mortal struct {
	dynamostore.Client
	dead atomic.Bool
}

func (m *mortal) dial(ctx context.Context, at dynamostore.Address) (dynamostore.Client, error) {
	c, err := dynamosdk.Dial(ctx, at)
	m.Client = c
	return m, err
}

func (m *mortal) Do(ctx context.Context, r dynamostore.Request) (dynamostore.Response, error) {
	if m.dead.Load() {
		return dynamostore.Response{}, &dynamostore.RequestError{Code: dynamostore.CodeNetwork, Message: "it is dead"}
	}
	return m.Client.Do(ctx, r)
}

type client struct {
	*dynamostore.Store
	mortal *mortal
}

// A reservation tells its slot by the clock of the key, so that the time between slots is exact.
type reservation struct{ *dynamostore.Reservation }

func (r reservation) Slot() time.Time {
	at := r.Since1970()
	if at == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(at))
}

func (c client) Wait(ctx context.Context, n int) error { return c.WaitN(ctx, n) }

func (c client) Reserve(n int) (storetest.Reservation, error) {
	r, err := c.Store.Reserve(context.Background(), n)
	return reservation{r}, err
}

func (c client) Try(n int) (bool, time.Duration, error) { return c.Store.Try(context.Background(), n) }

func (c client) SetLimit(limit pacer.Limit) error {
	return c.Store.SetLimit(context.Background(), limit)
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
func (c client) Die() { c.mortal.dead.Store(true) }
