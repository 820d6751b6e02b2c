package storetest_test

import (
	"context"
	"testing"
	"time"

	"github.com/throttle-cli/throttle/internal/storetest"
	"github.com/throttle-cli/throttle/pacer"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, storetest.Factory{OneProcess: true, New: func(_ *testing.T, limit pacer.Limit, debt bool) func() storetest.Client {
		var opts []pacer.Option
		if debt {
			opts = append(opts, pacer.WithDebt())
		}
		p := pacer.New(limit, opts...)
		return func() storetest.Client { return client{p} }
	}})
}

type client struct{ *pacer.Pacer }

func (c client) Wait(ctx context.Context, n int) error { return c.WaitN(ctx, n) }
func (c client) Reserve(n int) (storetest.Reservation, error) {
	r, err := c.ReserveN(n)
	return reservation{r}, err
}
func (c client) Try(n int) (bool, time.Duration, error) { return c.TryN(n) }
func (c client) SetLimit(limit pacer.Limit) error       { c.Pacer.SetLimit(limit); return nil }
func (c client) SetLimits(limits pacer.Limits) error    { c.Pacer.SetLimits(limits); return nil }
func (client) Die()                                     {}

func (c client) Effective() (pacer.Limit, error) { return c.Pacer.Effective(), nil }

func (c client) SetPaused(paused bool) error {
	if paused {
		c.Pause()
	} else {
		c.Resume()
	}
	return nil
}

func (c client) SetCooldown(d time.Duration) error {
	c.Pacer.SetCooldown(d)
	return nil
}

type reservation struct{ *pacer.Reservation }

func (r reservation) Throttled(f pacer.Feedback) (pacer.Cooldown, error) {
	return r.Reservation.Throttled(f), nil
}

var (
	_ storetest.FeedbackClient = client{}
	_ storetest.LimitsClient   = client{}
)
