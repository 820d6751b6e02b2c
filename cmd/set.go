package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/throttle-cli/throttle/internal/store"
	"github.com/throttle-cli/throttle/pacer"
)

// lockTime is how long the lock of a state file, which takes microseconds, is waited for where something is to be said there.
const lockTime = 10 * time.Second

// setOptions are those of the command that changes a shared limit.
type setOptions struct {
	pace     paceOptions
	cooldown string
	pause    bool
	resume   bool
}

func newSetCommand(std streams) *cobra.Command {
	o := &setOptions{}
	c := &cobra.Command{
		Use:   "set --key NAME [--rate RATE]",
		Short: "Change a shared rate, for those who wait too, or pause it",
		Long: `Changes the rate of a key, from now on. Those who wait for it move at once. It
ends the cut of a rate that the remote has throttled; a cooldown stays. While a
key is paused nobody has a grant, and those who wait keep their places.`,
		Example: `  throttle set --key ec2 --rate 5/s
  throttle set --key ec2 --cooldown 10m       no starts for 10 minutes
  throttle set --key ec2 --pause`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.pace.apply(c.Context(), c.Flags(), std); err != nil {
				return err
			}
			// The environment, and a file, have a rate for those who say nothing else.
			if l := &o.pace.limit; o.says() || l.here("burst") || l.here("algorithm") || !l.given() {
				l.only()
			}
			return runSet(c.Context(), o, std)
		},
	}
	addGroups(c, newGroup("Rate", o.pace.addFlags), newGroup("Grants", func(f *pflag.FlagSet) {
		f.StringVar(&o.cooldown, "cooldown", "", "none for `DURATION` from now; 0 ends a cooldown")
		f.BoolVar(&o.pause, "pause", false, "none until --resume")
		f.BoolVar(&o.resume, "resume", false, "go on, as after idle time")
	}))
	return c
}

// says reports whether there is something to do that needs no rate.
func (o *setOptions) says() bool { return o.cooldown != "" || o.pause || o.resume }

func runSet(ctx context.Context, o *setOptions, std streams) error {
	if !o.pace.shared() {
		return errNoKey
	}
	if o.pause && o.resume {
		return errConflict("--pause", "--resume")
	}
	cooldown, err := time.ParseDuration(cmp.Or(o.cooldown, "0"))
	if err != nil || cooldown < 0 {
		return fmt.Errorf("--cooldown %q: it is a duration such as 30s or 10m, or 0 to end one", o.cooldown)
	}
	var opts store.Options
	var steps []func(context.Context, store.Key) error
	switch l := &o.pace.limit; {
	case l.given(), l.burst == noBurst && l.algorithm == "" && !o.says():
		w, err := l.limits()
		if err != nil {
			return err
		}
		opts = store.Options{Bytes: w.unit == pacer.Bytes, Create: true}
		steps = append(steps, func(ctx context.Context, k store.Key) error {
			return k.ChangeLimits(ctx, func(stored pacer.Limits) (pacer.Limits, error) { return w.as(stored), nil })
		})
	case l.burst != noBurst || l.algorithm != "":
		if err := l.checkBurst(); err != nil {
			return err
		}
		status, _, err := o.pace.status(ctx, std)
		if err != nil {
			return o.pace.explain(err)
		}
		opts.Bytes = status.Bytes // a burst counts what the limit does
		steps = append(steps, func(ctx context.Context, k store.Key) error {
			return k.ChangeLimits(ctx, func(stored pacer.Limits) (pacer.Limits, error) {
				if stored == nil {
					return nil, o.pace.noLimit()
				}
				return l.over(stored)
			})
		})
	}
	if o.cooldown != "" {
		steps = append(steps, func(ctx context.Context, k store.Key) error { return k.SetCooldown(ctx, cooldown) })
	}
	if o.pause || o.resume {
		steps = append(steps, func(ctx context.Context, k store.Key) error { return k.SetPaused(ctx, o.pause) })
	}
	return o.pace.change(ctx, opts, std, func(ctx context.Context, k store.Key) error {
		for _, step := range steps {
			if err := step(ctx, k); err != nil {
				return err
			}
		}
		return nil
	})
}

var errNoKey = errors.New("say which: --key NAME, or --state FILE")

func newResetCommand(std streams) *cobra.Command {
	o := &paceOptions{}
	c := &cobra.Command{
		Use:   "reset NAME...",
		Short: "Forget what a key was granted",
		Long: `Forgets what a key was granted, so that its next grant is free. Those who wait
keep their places; if nobody waits, the rate is forgotten too.`,
		Example: "  throttle reset ec2",
		RunE: func(c *cobra.Command, keys []string) error {
			o.given = c.Flags()
			if len(keys) > 0 && !givenHere(c.Flags(), "key") && !givenHere(c.Flags(), "state") {
				o.key, o.state = "", "" // the environment names one for those who name none
			}
			if o.config.store = &o.store; o.state == "" {
				if err := o.config.settleStore(c.Flags(), std.log); err != nil {
					return err
				}
			}
			return runReset(c.Context(), o, keys, std)
		},
	}
	addGroups(c, newGroup("Which", func(f *pflag.FlagSet) {
		f.Var((*name)(&o.key), "key", "forget what the key `NAME` was granted")
		f.Var((*name)(&o.state), "state", "forget what is in the state file `FILE`")
		o.store.addURLFlag(f)
		o.config.addFileFlag(f)
	}))
	return c
}

func runReset(ctx context.Context, o *paceOptions, keys []string, std streams) error {
	which := []*paceOptions{}
	for _, key := range keys {
		which = append(which, &paceOptions{key: key, store: o.store, given: o.given})
	}
	if o.shared() {
		which = append(which, o)
	}
	if len(which) == 0 {
		return errors.New("say which: throttle reset NAME, or --state FILE")
	}
	for _, w := range which {
		err := w.change(ctx, store.Options{}, std, func(ctx context.Context, k store.Key) error { return k.Reset(ctx) })
		if err != nil {
			return err
		}
	}
	return nil
}

// change does something to the shared state.
func (o *paceOptions) change(ctx context.Context, opts store.Options, std streams, do func(context.Context, store.Key) error) error {
	k, err := o.openKey(ctx, opts, std)
	if err == nil {
		defer k.Close() //nolint:errcheck // what was to be written is
		if !opts.Create && o.remote() {
			_, err = k.Status(ctx)
		}
	}
	if errors.Is(err, store.ErrNoState) {
		return fmt.Errorf("%s has no state", o.name())
	}
	if err != nil {
		return o.explain(err)
	}
	if !o.remote() { // a server has its own time
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, lockTime, fmt.Errorf("%s: its lock was not free for %v: is a process stopped that holds it?", o.name(), lockTime))
		defer stop()
	}
	return o.explain(do(ctx, k))
}
