package cmd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

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

// path returns where the shared state is.
func (o *paceOptions) path() (string, error) {
	switch {
	case o.state != "" && o.key != "":
		return "", errConflict("--key", "--state")
	case o.state != "":
		return o.state, nil
	}
	dir, err := lockfile.DefaultDir(os.Getenv)
	if err != nil {
		return "", err
	}
	return lockfile.PathOf(dir, o.key), nil
}

// adopt opens the shared state for one who takes the limits that are stored where none are given. What isn't said is as it is.
func (o *paceOptions) adopt(w wanted, stored pacer.Limits, debt bool, std streams) (*lockfile.File, error) {
	queue, err := o.queue()
	if err != nil {
		return nil, err
	}
	opts := lockfile.Options{Limits: w.limits, Bytes: w.unit == pacer.Bytes, Debt: debt, Queue: queue, MustExist: w.limits == nil}
	if w.limits != nil {
		opts.Limits = w.as(stored)
	}
	f, err := o.file(opts, std)
	if opts.MustExist && errors.Is(err, fs.ErrNotExist) {
		return nil, o.noLimit()
	}
	return f, err
}

// status returns how the shared state stands; the zero one where there is none, or it can't be read: opening it will say so.
func (o *paceOptions) status() lockfile.Status {
	path, err := o.path()
	if err != nil {
		return lockfile.Status{}
	}
	s, _ := lockfile.Read(path)
	return s
}

// file opens the shared state. What there is to warn of goes to stderr.
func (o *paceOptions) file(opts lockfile.Options, std streams) (*lockfile.File, error) {
	path, err := o.path()
	if err != nil {
		return nil, err
	}
	if o.state != "" {
		opts.Shared = true
		if path, err = filepath.Abs(path); err != nil {
			return nil, err
		}
	}
	opts.Warn = func(err error) {
		var conflict *lockfile.ConflictError
		if errors.As(err, &conflict) {
			err = fmt.Errorf("%s has the limit %v, and %v is given: the stricter holds, %v (throttle set %s --rate ... changes it, where no other rate is given)",
				o.name(), conflict.Stored, conflict.Given, conflict.Holds, o.flags())
		}
		std.log.warnOnce(fmt.Sprintf("warning: %v", err))
	}
	f, err := lockfile.Open(path, o.key, opts)
	if err != nil {
		return nil, o.explain(err)
	}
	return f, nil
}

// explain says what to do about an error of the state file.
func (o *paceOptions) explain(err error) error {
	switch {
	case errors.Is(err, lockfile.ErrForeign):
		return fmt.Errorf("%w\nit is left alone: name another file, or remove it", err)
	case errors.Is(err, lockfile.ErrVersion):
		return fmt.Errorf("%w\nuse that version, or remove the file", err)
	case errors.Is(err, lockfile.ErrUnit):
		return fmt.Errorf("%s: %w: name a rate of the same kind, or another key", o.name(), err)
	case errors.Is(err, lockfile.ErrNoLimit):
		return o.noLimit()
	}
	if errors.Is(err, lockfile.ErrFull) {
		return &refusedError{fmt.Sprintf("%s: not granted: %s", o.name(), full(o.maxQueue))}
	}
	if cost := (*pacer.CostError)(nil); errors.As(err, &cost) && cost.Cost > cost.Burst {
		return fmt.Errorf("%w: give a larger --burst, or --debt to wait for all of it", err)
	}
	return err
}
