package cmd

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/throttle-cli/throttle/internal/batch"
	"github.com/throttle-cli/throttle/internal/store"
	"github.com/throttle-cli/throttle/pacer"
)

// A keyed limiter has one for each key that lines have. Those that are not in use are kept open as long as there is room.
type keyed struct {
	o    *paceOptions
	debt bool
	most int
	std  streams
	// common are the options of all places, but for the key and the rates; nil where they differ in more.
	common *paceOptions
	// react, when set, has each of them hear of attempts that the remote has throttled.
	react func(*pace)

	making sync.Mutex // of flags: to look at a set of them may sort it

	mu   sync.Mutex
	all  map[string]*keyedPace
	idle *list.List // those not in use, the one used last at the back
}

// A keyedPace is the pace of a lane.
type keyedPace struct {
	*pace
	lane  string
	first *place // the one that it was opened for
	users int
	at    *list.Element // in idle; nil while in use
}

// openKeyed returns the pace of lines that have keys of their own.
func (o *paceOptions) openKeyed(ctx context.Context, debt bool, std streams) (*pace, error) {
	cost, err := o.units()
	if err == nil && o.lines.rates == nil {
		var w wanted
		if w, err = o.limit.optional(); err == nil && w.unit == pacer.Bytes {
			err = errBytes
		}
	}
	if err != nil { // before anything is read
		return nil, err
	}
	if o.perLine.ahead > mostFiles() {
		if givenHere(o.given, "max-read-ahead") {
			std.log.warn(fmt.Sprintf("to read %d lines ahead is too many: this process may have %d open files, enough for the keys of %d (ulimit -n)", o.perLine.ahead, descriptors(), mostFiles()))
		}
		o.perLine.ahead = mostFiles()
	}
	k := &keyed{o: o, debt: debt, most: mostFiles(), std: std, all: map[string]*keyedPace{}, idle: list.New()}
	if o.config.limit == "" {
		if k.common, err = k.flags(ctx, &place{key: o.key}); err != nil {
			return nil, err
		}
	}
	return &pace{limiter: k, keyed: k, store: o.store.env(), cost: cost, shared: true, explain: o.explain}, nil
}

var errBytes = errors.New("the rate is one of bytes: lines with keys are counted, such as 10/s")

// use returns the pace of a place. Done has to be called.
func (k *keyed) use(ctx context.Context, at *place) (*keyedPace, error) {
	k.mu.Lock()
	p := k.all[at.lane]
	if p != nil {
		if p.at != nil {
			k.idle.Remove(p.at)
			p.at = nil
		}
		p.users++
	}
	k.mu.Unlock()
	if p == nil {
		opened, err := k.open(ctx, at)
		if err != nil {
			return nil, err
		}
		p = &keyedPace{pace: opened, lane: at.lane, first: at, users: 1}
		k.mu.Lock()
		k.all[at.lane] = p // nobody else uses a lane that is not open
		k.mu.Unlock()
	}
	if !slices.Equal(p.first.rates, at.rates) {
		k.done(p)
		return nil, fmt.Errorf("%s: the rate of key %q is %s, and before, in %s, it was %s",
			at.where, p.key, strings.Join(at.rates, " and "), p.first.where, strings.Join(p.first.rates, " and "))
	}
	return p, nil
}

// done says that a pace is not used any more.
func (k *keyed) done(p *keyedPace) {
	k.mu.Lock()
	p.users--
	if p.users == 0 {
		p.at = k.idle.PushBack(p)
	}
	var closed []*keyedPace
	for len(k.all) > k.most && k.idle.Len() > 0 {
		p, _ := k.idle.Remove(k.idle.Front()).(*keyedPace)
		delete(k.all, p.lane)
		closed = append(closed, p)
	}
	k.mu.Unlock()
	for _, p := range closed {
		p.close()
	}
}

// open opens the pace of a place.
func (k *keyed) open(ctx context.Context, at *place) (*pace, error) {
	o, err := k.options(ctx, at)
	if err == nil {
		var p *pace
		if p, err = o.open(ctx, k.debt, k.std); err == nil && p.unit == pacer.Bytes {
			p.close()
			err = errBytes
		}
		if err == nil {
			if k.react != nil {
				k.react(p)
			}
			return p, nil
		}
	}
	return nil, fmt.Errorf("%s: %w", at.where, err)
}

// options returns what the flags, and throttle.toml, say of a place.
func (k *keyed) options(ctx context.Context, at *place) (*paceOptions, error) {
	if k.common == nil {
		k.making.Lock()
		defer k.making.Unlock()
		return k.flags(ctx, at)
	}
	o := *k.common
	o.key = at.key
	if at.rates != nil {
		o.limit.rates = at.rates
	}
	return &o, nil
}

// wait waits for the grant of a place, for a batch.
func (k *keyed) wait(ctx context.Context, at *place) (batch.Grant, error) {
	p, err := k.use(ctx, at)
	if err != nil {
		return nil, err
	}
	if at.key != p.key { // a start that was late takes another grant, while the job has its key already
		at.key = p.key
	}
	g, err := p.wait(ctx, at.cost)
	if err != nil {
		if cost := (*pacer.CostError)(nil); errors.As(err, &cost) {
			err = fmt.Errorf("%s: %w", at.where, err)
		}
		k.done(p)
		return nil, err
	}
	return &keyedGrant{k, p, g}, nil
}

// A keyedGrant keeps the limiter open that has granted it.
type keyedGrant struct {
	keyed *keyed
	pace  *keyedPace
	grant batch.Grant // nil where it hears of nothing
}

// Throttled is that of batch.Grant.
func (g *keyedGrant) Throttled(a *batch.Attempt) error {
	if g.grant == nil {
		return nil
	}
	return g.grant.Throttled(a)
}

// Ended is that of batch.Grant.
func (g *keyedGrant) Ended() { g.keyed.done(g.pace) }

var errKeyed = errors.New("each line has a limit of its own")

// WaitN is that of limiter: nothing waits for all of them.
func (*keyed) WaitN(context.Context, int) error { return errKeyed }

func (*keyed) reserve(context.Context, int) (store.Reservation, error) { return nil, errKeyed }

// limit returns no limit: that of all keys together is not known.
func (*keyed) limit() pacer.Limit { return pacer.Unlimited() }

func (*keyed) now() limitState {
	return limitState{set: pacer.Unlimited(), effective: pacer.Unlimited()}
}

func (k *keyed) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range k.all {
		p.close()
	}
}
