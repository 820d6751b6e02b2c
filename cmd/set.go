package cmd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"github.com/throttle-cli/throttle/lockfile"
	"github.com/throttle-cli/throttle/pacer"
)

// lockTime is how long set and reset wait for the lock of a state file.
const lockTime = 10 * time.Second

func newSetCommand(std streams) *cobra.Command {
	o := &paceOptions{}
	c := &cobra.Command{
		Use:     "set --key NAME --rate RATE",
		Short:   "Change a shared rate, for those who wait too",
		Long:    "Changes the rate of a key, from now on. Those who wait for it move at once.",
		Example: "  throttle set --key ec2 --rate 5/s",
		Args:    noArguments,
		RunE:    func(c *cobra.Command, _ []string) error { return runSet(c.Context(), o, std) },
	}
	addGroups(c, newGroup("Rate", o.addFlags))
	return c
}

func runSet(ctx context.Context, o *paceOptions, std streams) error {
	if !o.shared() {
		return errNoKey
	}
	if !o.limit.given() && o.limit.burst != noBurst {
		if err := o.limit.checkBurst(); err != nil {
			return err
		}
		return o.change(ctx, lockfile.Options{MustExist: true}, std, func(ctx context.Context, f *lockfile.File) error {
			s, err := f.Status()
			if err != nil || !s.Limited {
				return errors.Join(err, o.noLimit())
			}
			return f.SetLimit(ctx, s.Limit.WithBurst(o.limit.burst))
		})
	}
	limit, unit, err := o.limit.limit()
	if err != nil {
		return err
	}
	if o.limit.burst == noBurst {
		limit.Burst = o.storedBurst()
	}
	return o.change(ctx, lockfile.Options{Bytes: unit == pacer.Bytes}, std, func(ctx context.Context, f *lockfile.File) error {
		return f.SetLimit(ctx, limit)
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
			if len(keys) > 0 && !givenHere(c.Flags(), "key") && !givenHere(c.Flags(), "state") {
				o.key, o.state = "", "" // the environment names one for those who name none
			}
			return runReset(c.Context(), o, keys, std)
		},
	}
	addGroups(c, newGroup("Which", o.addKeyFlags))
	return c
}

func runReset(ctx context.Context, o *paceOptions, keys []string, std streams) error {
	which := []*paceOptions{}
	for _, key := range keys {
		which = append(which, &paceOptions{key: key})
	}
	if o.shared() {
		which = append(which, o)
	}
	if len(which) == 0 {
		return errors.New("say which: throttle reset NAME, or --state FILE")
	}
	for _, w := range which {
		err := w.change(ctx, lockfile.Options{MustExist: true}, std, func(ctx context.Context, f *lockfile.File) error {
			return f.Reset(ctx)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// change does something to the shared state.
func (o *paceOptions) change(ctx context.Context, opts lockfile.Options, std streams, do func(context.Context, *lockfile.File) error) error {
	f, err := o.file(opts, std)
	if opts.MustExist && errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s has no state", o.name())
	}
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // what was to be written is
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, stop := context.WithTimeoutCause(ctx, lockTime, fmt.Errorf("%s: its lock was not free for %v: is a process stopped that holds it?", o.name(), lockTime))
	defer stop()
	return o.explain(do(ctx, f))
}
