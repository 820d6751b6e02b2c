package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"github.com/throttle-cli/throttle/internal/job"
	"github.com/throttle-cli/throttle/internal/store"
	"github.com/throttle-cli/throttle/pacer"
)

// grantOptions are those of the commands that wait for one grant of a shared limit.
type grantOptions struct {
	pace         paceOptions
	maxWait      string
	noWait       bool
	conflictCode codeValue
	usage        bool // whether what is left of the limits is wanted, too
}

// defaultKey is the key of those who name none.
const defaultKey = "default"

func (o *grantOptions) addFlags(f *pflag.FlagSet) {
	f.StringVar(&o.maxWait, "max-wait", "", "give up if the slot is more than `DURATION` away")
	f.BoolVar(&o.noWait, "no-wait", false, "give up unless the slot is now")
	o.pace.addQueueFlags(f)
	o.addCodeFlag(f)
}

func (o *grantOptions) addCodeFlag(f *pflag.FlagSet) {
	o.conflictCode = codeNotGranted
	f.VarP(&o.conflictCode, "conflict-exit-code", "E", "exit with `CODE` when giving up")
}

// A grant is what one waited for.
type grant struct {
	Key     string
	Slot    time.Time
	OnBoot  time.Duration // the slot, on the clock that counts from the boot of the host; 0 where that is not the one of the store
	Since   time.Duration // the same since 1970, on the clock of a server
	Waited  time.Duration
	Granted bool
	Blocked bool          // whether it is not, as throttle.toml has limit = 0
	Locked  bool          // whether it is not, as somebody has the lock of the state and does not give it back, or the server is away
	Retry   time.Duration // where it is not granted: how far away the slot would have been; negative: there is none
	Paused  bool          // whether it is not, as the key is paused
	Full    bool          // whether it is not, as so many wait as may
	Usage   []pacer.Usage // what is left of each limit
	Bytes   bool          // whether they count bytes
	r       store.Reservation
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

// take waits for a grant.
func (o *grantOptions) take(ctx context.Context, std streams) (grant, error) {
	k, err := o.open(ctx, std)
	if err != nil {
		return grant{}, err
	}
	g, err := o.ask(ctx, k)
	if !g.Locked || o.pace.remote() { // to close the file would need its lock
		_ = k.Close() // a place is given back by the end of the process too
	}
	return g, err
}

// open opens the shared state.
func (o *grantOptions) open(ctx context.Context, std streams) (store.Key, error) {
	if _, err := o.patience(); err != nil {
		return nil, err
	}
	if !o.pace.shared() {
		o.pace.key = defaultKey
	}
	w, err := o.pace.limit.optional()
	if err != nil {
		return nil, err
	}
	if _, err := o.pace.units(); err != nil {
		return nil, err
	}
	return o.pace.adopt(ctx, w, o.pace.debt, std)
}

// ask waits for a grant of the shared limit.
func (o *grantOptions) ask(ctx context.Context, k store.Key) (grant, error) {
	patience, err := o.patience()
	if err != nil {
		return grant{}, err
	}
	n, err := o.pace.units()
	if err != nil {
		return grant{}, err
	}
	start := time.Now()
	g, err := o.wait(ctx, k, n, patience)
	g.Key, g.Waited = o.pace.key, time.Since(start)
	if o.usage && !g.Locked {
		if s, err := k.Status(ctx); err == nil {
			g.Usage, g.Bytes = s.Usage, s.Bytes
		}
	}
	if err != nil && !g.Locked {
		return g, o.pace.explain(err)
	}
	return g, nil
}

// lockPatience is how long --no-wait waits for the lock of the state, which takes microseconds.
const lockPatience = time.Second

// wait waits for a grant of n units, if that takes no longer than patience.
func (o *grantOptions) wait(ctx context.Context, k store.Key, n int, patience time.Duration) (grant, error) {
	within, asking := patience, ctx
	if patience < 0 {
		within = 1<<63 - 1
	} else { // what others do may move the slot away, or keep the lock
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, cmp.Or(patience, lockPatience), errTooLong)
		defer stop()
		if !o.pace.remote() || o.pace.store.onError == waitOnError { // else a server that does not answer is an error, as --store-timeout has it
			asking = ctx
		}
	}
	r, err := k.ReserveWithin(asking, n, within)
	var late *pacer.LateError
	switch {
	case errors.As(err, &late):
		return grant{Slot: late.Slot, Retry: late.Wait, Paused: late.Paused}, nil
	case errors.Is(err, errTooLong):
		return grant{Retry: -1, Locked: true}, nil
	case errors.Is(err, pacer.ErrFull):
		return grant{Retry: -1, Full: true}, nil
	}
	if err != nil {
		return grant{}, err
	}
	if err := r.Wait(ctx); errors.Is(err, errTooLong) {
		return grant{Retry: -1}, nil
	} else if err != nil {
		return grant{}, err
	}
	g := grant{Granted: true, Slot: r.Slot(), r: r}
	switch clock := r.(type) { // the one on which the slot is exact
	case interface{ SinceBoot() time.Duration }:
		g.OnBoot = clock.SinceBoot()
	case interface{ Since1970() time.Duration }:
		g.Since = clock.Since1970()
	}
	return g, nil
}

// interrupted returns the error that a wait has ended with, as an exit code where it was a signal: that has said all.
func interrupted(err error) error {
	var interrupt *job.Interrupt
	if errors.As(err, &interrupt) {
		return exitCode(codeOf(interrupt))
	}
	return err
}

var errTooLong = errors.New("the slot was moved away")

// refused says that there was no grant in time, and returns the exit code for it.
func (o *grantOptions) refused(g grant, std streams) error {
	when := "there is no slot: the limit allows no events"
	switch {
	case g.Paused:
		when = "it is paused (throttle set " + o.pace.flags() + " --resume)"
	case g.Full:
		when = full(o.pace.maxQueue)
	case g.Locked && o.pace.remote():
		when = "its store did not answer in time"
	case g.Locked:
		when = "the lock of its state was not free: is a process stopped that holds it?"
	case !g.Slot.IsZero():
		when = fmt.Sprintf("the slot would be at %s, in %s", g.Slot.Format(clockFormat(g.Slot, time.Now())), round(g.Retry))
	case g.Retry < 0:
		when = "the slot did not come in time"
	}
	std.log.fail(fmt.Sprintf("%s: not granted: %s", o.pace.name(), when), "key", g.Key)
	return exitCode(o.conflictCode)
}

// full says that so many wait as may.
func full(n int) string {
	if n == anyQueue {
		return "as many wait as there is room for"
	}
	return fmt.Sprintf("%d wait already (--max-queue)", n)
}

// clockFormat is how a time is shown: with the date, where that is not today.
func clockFormat(t, now time.Time) string {
	if t.YearDay() == now.YearDay() && t.Year() == now.Year() {
		return "15:04:05.000"
	}
	return "2006-01-02 15:04:05"
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
