package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/throttle-cli/throttle/internal/batch"
	"github.com/throttle-cli/throttle/internal/pipe"
	"github.com/throttle-cli/throttle/internal/store"
	"github.com/throttle-cli/throttle/internal/tally"
	"github.com/throttle-cli/throttle/pacer"
)

// A pace is what a mode goes by.
type pace struct {
	limiter
	unit  pacer.Unit
	ahead time.Duration // for how long grants may be asked for before their slots
	key   string
	store []string      // how commands find where that is, as NAME=value; nil for the usual place
	trip  time.Duration // how long it takes to ask there; 0 is no time
	cost  int           // of each grant
	keyed *keyed        // nil unless lines have keys of their own
	// next is the slot that is waited for, where tracks is set; zero for none.
	next   atomic.Pointer[time.Time]
	tracks bool
	// feeds, when set, is told of attempts that the remote has throttled, and what came of it.
	feeds func(a *batch.Attempt, c pacer.Cooldown)
	// feedback is what becomes of the limit then.
	feedback pacer.Feedback
	// explain says what there is to say about an error of the limiter.
	explain func(error) error
	// shared says that others may lower the limit, whatever it is now.
	shared bool
}

// react has the limit hear of attempts that the remote has throttled.
func (p *pace) react(f pacer.Feedback, log *logger) {
	if p.keyed != nil {
		p.keyed.react = func(p *pace) { p.react(f, log) }
		return
	}
	p.feedback = f
	p.feeds = func(a *batch.Attempt, c pacer.Cooldown) {
		if !c.New {
			return
		}
		whose := ""
		if p.key != "" {
			whose = fmt.Sprintf(" on key %q", p.key)
		}
		then := ""
		if f.Adaptive && !c.Rate.IsUnlimited() {
			then = ", then " + rateOf(c.Rate)
		}
		name, with := called(a)
		log.warn(fmt.Sprintf("throttled by the remote: %s: %s: no starts%s for %v%s", name, a.Verdict.Why, whose, round(c.Length), then),
			append(with, "key", p.key, "why", a.Verdict.Why, "cooldown", c.Length.Seconds())...)
	}
}

// unlimited reports whether there is nothing to wait for, and never will be.
func (p *pace) unlimited() bool { return !p.shared && p.limit().IsUnlimited() }

// rateOf returns the rate of a limit as people read it: 28/s, 1.4/m, inf.
func rateOf(l pacer.Limit) string {
	if l.IsUnlimited() {
		return "inf"
	}
	return tally.Rate(float64(l.Rate()))
}

// grant waits for the grant of a task, for a batch.
func (p *pace) grant(ctx context.Context, task batch.Task) (batch.Grant, error) {
	at, _ := task.Limit.(*place)
	switch {
	case p.keyed != nil:
		return p.keyed.wait(ctx, at)
	case at != nil:
		g, err := p.wait(ctx, at.cost)
		if cost := (*pacer.CostError)(nil); errors.As(err, &cost) {
			err = fmt.Errorf("%s: %w", at.where, err)
		}
		return g, err
	}
	return p.wait(ctx, 0)
}

// wait waits for a grant of n units, 0 for the cost that all have.
func (p *pace) wait(ctx context.Context, n int) (batch.Grant, error) {
	n = cmp.Or(n, p.cost)
	if p.feeds == nil && !p.tracks {
		return nil, p.explain(p.WaitN(ctx, n))
	}
	r, err := p.reserve(ctx, n)
	if err != nil {
		return nil, p.explain(err)
	}
	slot := r.Slot()
	p.next.Store(&slot)
	defer p.next.Store(nil)
	return grantOf{p, r}, p.explain(r.Wait(ctx))
}

// ask takes a place for n lines or bytes, for a pipe.
func (p *pace) ask(ctx context.Context, n int) (pipe.Grant, error) { return p.reserve(ctx, n*p.cost) }

// A grantOf is a grant of a pace.
type grantOf struct {
	pace *pace
	r    store.Reservation
}

// Throttled is that of batch.Grant. What the remote said is told to others also when we were interrupted.
func (g grantOf) Throttled(a *batch.Attempt) error {
	f := g.pace.feedback
	f.After = a.Verdict.After
	ctx, stop := context.WithTimeout(context.Background(), lockTime)
	defer stop()
	c, err := g.r.Throttled(ctx, f)
	if err != nil {
		return fmt.Errorf("the remote has throttled, and the others on the key could not be told: %w", err)
	}
	g.pace.feeds(a, c)
	return nil
}

// Ended is that of batch.Grant: nothing is given back.
func (grantOf) Ended() {}
