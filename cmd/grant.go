package cmd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"github.com/throttle-cli/throttle/lockfile"
)

// grantOptions are those of the commands that wait for one grant of a shared limit.
type grantOptions struct {
	pace         paceOptions
	maxWait      string
	noWait       bool
	conflictCode int
}

// defaultKey is the key of those who name none.
const defaultKey = "default"

func (o *grantOptions) addFlags(f *pflag.FlagSet) {
	f.StringVar(&o.maxWait, "max-wait", "", "give up if the slot is more than `DURATION` away")
	f.BoolVar(&o.noWait, "no-wait", false, "give up unless the slot is now")
	f.IntVarP(&o.conflictCode, "conflict-exit-code", "E", codeNotGranted, "exit with `CODE` when giving up")
}

// A grant is what one waited for.
type grant struct {
	Key     string
	Slot    time.Time
	OnBoot  time.Duration // the slot, on the clock that counts from the boot of the host
	Waited  time.Duration
	Granted bool
	Retry   time.Duration // where it is not granted: how far away the slot would have been; negative: there is none
}

// patience returns how long a grant may take, negative for any time.
func (o *grantOptions) patience() (time.Duration, error) {
	switch {
	case o.noWait && o.maxWait != "":
		return 0, errConflict("--no-wait", "--max-wait")
	case o.noWait:
		return 0, nil
	case o.maxWait == "":
		return -1, nil
	}
	d, err := time.ParseDuration(o.maxWait)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("--max-wait %q: it is a duration such as 500ms, 10s or 2m", o.maxWait)
	}
	return d, nil
}

// take waits for a grant of n units.
func (o *grantOptions) take(ctx context.Context, n int, std streams) (grant, error) {
	patience, err := o.patience()
	if err != nil {
		return grant{}, err
	}
	if o.conflictCode < 0 || o.conflictCode > 255 {
		return grant{}, fmt.Errorf("--conflict-exit-code %d: it is 0 to 255", o.conflictCode)
	}
	if !o.pace.shared() {
		o.pace.key = defaultKey
	}
	limit, _, err := o.pace.limit.optional()
	if err != nil {
		return grant{}, err
	}
	f, err := o.pace.adopt(lockfile.Options{Limit: limit}, std)
	if err != nil {
		return grant{}, err
	}
	defer f.Close() //nolint:errcheck // a place is given back by the end of the process too
	start := time.Now()
	g, err := wait(ctx, f, n, patience)
	g.Key, g.Waited = o.pace.key, time.Since(start)
	if err != nil {
		return g, o.pace.explain(err)
	}
	return g, nil
}

// wait waits for a grant of n units, if that takes no longer than patience.
func wait(ctx context.Context, f *lockfile.File, n int, patience time.Duration) (grant, error) {
	within := patience
	if patience < 0 {
		within = 1<<63 - 1
	} else if patience > 0 { // what others do may move the slot away
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, patience, errTooLong)
		defer stop()
	}
	r, err := f.ReserveWithin(ctx, n, within)
	var late *lockfile.LateError
	if errors.As(err, &late) {
		return grant{Slot: late.Slot, Retry: late.Wait}, nil
	}
	if err != nil {
		return grant{}, err
	}
	if err := r.Wait(ctx); errors.Is(err, errTooLong) {
		return grant{Retry: -1}, nil
	} else if err != nil {
		return grant{}, err
	}
	return grant{Granted: true, Slot: r.Slot(), OnBoot: r.SinceBoot()}, nil
}

var errTooLong = errors.New("the slot was moved away")

// refused says that there was no grant in time, and returns the exit code for it.
func (o *grantOptions) refused(g grant, std streams) error {
	when := "there is no slot: the limit allows no events"
	switch {
	case !g.Slot.IsZero():
		when = fmt.Sprintf("the slot would be at %s, in %s", g.Slot.Format("15:04:05.000"), round(g.Retry))
	case g.Retry < 0:
		when = "the slot did not come in time"
	}
	fmt.Fprintf(std.err, "throttle: %s: not granted: %s\n", o.pace.name(), when)
	return exitCode(o.conflictCode)
}

// round returns a duration as people read it.
func round(d time.Duration) time.Duration {
	switch {
	case d > time.Minute:
		return d.Round(time.Second)
	case d > time.Second:
		return d.Round(10 * time.Millisecond)
	}
	return d.Round(100 * time.Microsecond)
}
