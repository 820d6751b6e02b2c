package cmd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/throttle-cli/throttle/internal/store"
	"github.com/throttle-cli/throttle/lockfile"
	"github.com/throttle-cli/throttle/pacer"
)

// noLimit says that neither the flags nor the state have a limit.
func (o *paceOptions) noLimit() error {
	return fmt.Errorf("%s has no limit yet, and no rate is given: say --rate N/UNIT such as --rate 10/s, or --every 100ms", o.name())
}

// name names the shared state in messages.
func (o *paceOptions) name() string {
	switch {
	case o.key != "":
		return fmt.Sprintf("key %q", o.key)
	case o.state == "":
		return "the rate"
	}
	return fmt.Sprintf("state file %q", o.state)
}

// flags returns how to name the shared state on the command line.
func (o *paceOptions) flags() string {
	if o.state != "" {
		return "--state " + o.state
	}
	return "--key " + o.key
}

// at returns the store, and the name that the key has there.
func (o *paceOptions) at(std streams) (store.Store, string, error) {
	if o.state == "" {
		s, err := o.store.open(std.log)
		return s, o.key, err
	}
	switch {
	case o.key != "":
		return nil, "", errConflict("--key", "--state")
	case givenHere(o.given, "store"):
		return nil, "", errConflict("--store", "--state")
	}
	return stateFile(o.state), "", nil
}

// remote reports whether other hosts may use the store.
func (o *paceOptions) remote() bool {
	p, err := o.store.place()
	return o.state == "" && err == nil && p.Remote()
}

// adopt opens the key for one who takes the limits that are stored where none are given. What isn't said is as it is.
func (o *paceOptions) adopt(ctx context.Context, w wanted, debt bool, std streams) (store.Key, error) {
	queue, err := o.queue()
	if err != nil {
		return nil, err
	}
	opts := store.Options{Limits: w.limits, Bytes: w.unit == pacer.Bytes, Debt: debt, Queue: queue, Adopt: w.adopts}
	if w.isOpen() {
		opts.As = w.as
	}
	k, err := o.openKey(ctx, opts, std)
	if errors.Is(err, store.ErrNoState) {
		return nil, o.noLimit()
	}
	return k, err
}

// status returns how the key stands; the zero one where there is none. Asked says whether the store was; if not, it is away and that
// is no error. That a file can't be read, opening it will say.
func (o *paceOptions) status(ctx context.Context, std streams) (status pacer.Status, asked bool, err error) {
	s, key, err := o.at(std)
	if err != nil {
		return pacer.Status{}, false, err
	}
	state, err := s.Status(ctx, key)
	switch {
	case err == nil:
		return state.Status, true, nil
	case errors.Is(err, store.ErrNoState) || !o.remote():
		return pacer.Status{}, true, nil
	case isAway(err) && o.store.onError == localOnError:
		return pacer.Status{}, false, nil
	}
	return pacer.Status{}, false, err
}

// trip returns how long it takes to ask a server that has been asked before.
func (o *paceOptions) trip(ctx context.Context, std streams) time.Duration {
	if !o.remote() {
		return 0
	}
	start := time.Now()
	if _, asked, err := o.status(ctx, std); !asked || err != nil { // it will be told of when a grant is asked for
		return 0
	}
	return min(time.Since(start), tripMost)
}

// tripMost is the longest that a round trip is taken to be: one that takes longer is rather one of a server that was stopped for a moment.
const tripMost = 500 * time.Millisecond

// openKey opens the key. What there is to warn of goes to stderr.
func (o *paceOptions) openKey(ctx context.Context, opts store.Options, std streams) (store.Key, error) {
	s, key, err := o.at(std)
	if err != nil {
		return nil, err
	}
	opts.Warn = func(err error) {
		var conflict *pacer.ConflictError
		if errors.As(err, &conflict) {
			err = fmt.Errorf("%s has the limit %v, and %v is given: the stricter holds, %v (throttle set %s --rate ... changes it, where no other rate is given)",
				o.name(), conflict.Stored, conflict.Given, conflict.Holds, o.flags())
		}
		std.log.warnOnce(fmt.Sprintf("warning: %v", err))
	}
	k, err := s.Open(ctx, key, opts)
	if err != nil && !errors.Is(err, store.ErrNoState) {
		return nil, o.explain(err)
	}
	return k, err
}

// explain says what to do about an error of a store.
func (o *paceOptions) explain(err error) error {
	switch {
	case errors.Is(err, lockfile.ErrForeign):
		return fmt.Errorf("%w\nit is left alone: name another file, or remove it", err)
	case errors.Is(err, lockfile.ErrVersion):
		return fmt.Errorf("%w\nuse that version, or remove the file", err)
	case errors.Is(err, pacer.ErrUnit):
		return fmt.Errorf("%s: %w: name a rate of the same kind, or another key", o.name(), err)
	case errors.Is(err, pacer.ErrNoLimit):
		return o.noLimit()
	}
	if errors.Is(err, pacer.ErrFull) {
		return &refusedError{fmt.Sprintf("%s: not granted: %s", o.name(), full(o.maxQueue))}
	}
	if cost := (*pacer.CostError)(nil); errors.As(err, &cost) && cost.Cost > cost.Burst {
		return fmt.Errorf("%w: give a larger --burst, or --debt to wait for all of it", err)
	}
	return err
}
