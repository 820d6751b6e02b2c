package cmd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/pflag"

	"github.com/throttle-cli/throttle/internal/batch"
	"github.com/throttle-cli/throttle/internal/finetimer"
	"github.com/throttle-cli/throttle/internal/pipe"
	"github.com/throttle-cli/throttle/internal/tally"
	"github.com/throttle-cli/throttle/lockfile"
	"github.com/throttle-cli/throttle/pacer"
)

// paceOptions are the flags that say what the limit is, and with whom it is shared.
type paceOptions struct {
	limit limitOptions
	key   string
	state string
}

func (o *paceOptions) addFlags(f *pflag.FlagSet) {
	o.limit.addFlags(f)
	o.addKeyFlags(f)
}

func (o *paceOptions) addKeyFlags(f *pflag.FlagSet) {
	f.Var((*name)(&o.key), "key", "share the rate with all that use the key `NAME`")
	f.Var((*name)(&o.state), "state", "share it by the state file `FILE`")
}

// A name is the value of a flag that can't be empty: an empty variable of a script must not name another key.
type name string

func (n *name) String() string { return string(*n) }

// Set is that of pflag.Value.
func (n *name) Set(s string) error {
	if s == "" {
		return errors.New("it is empty")
	}
	*n = name(s)
	return nil
}

// Type is that of pflag.Value.
func (*name) Type() string { return "string" }

func (o *paceOptions) shared() bool { return o.key != "" || o.state != "" }

// A pace is what a mode goes by.
type pace struct {
	wait  func(context.Context) (batch.Grant, error)
	ask   func(context.Context, int) (pipe.Grant, error)
	limit func() pacer.Limit // in force, as far as is known
	unit  pacer.Unit
	ahead time.Duration // for how long grants may be asked for before their slots
	key   string
	// now returns how the limit stands.
	now func() limitState
	// next is the slot that is waited for, where tracks is set; zero for none.
	next   atomic.Pointer[time.Time]
	tracks bool
	// feeds, when set, is told of attempts that the remote has throttled, and what came of it.
	feeds func(a *batch.Attempt, c pacer.Cooldown)
	// feedback is what becomes of the limit then.
	feedback pacer.Feedback
	// shared says that others may lower the limit, whatever it is now.
	shared bool
	close  func()
}

// A limitState is how a limit stands.
type limitState struct {
	set, effective pacer.Limit
	cooldown       time.Time // until when there are no grants; zero for none
	paused         bool
}

// react has the limit hear of attempts that the remote has throttled.
func (p *pace) react(f pacer.Feedback, log *logger) {
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
			then = ", then " + perUnit(c.Rate)
		}
		name, with := called(a)
		log.warn(fmt.Sprintf("throttled by the remote: %s: %s: no starts%s for %v%s", name, a.Verdict.Why, whose, round(c.Length), then),
			append(with, "key", p.key, "why", a.Verdict.Why, "cooldown", c.Length.Seconds())...)
	}
}

// unlimited reports whether there is nothing to wait for, and never will be.
func (p *pace) unlimited() bool { return !p.shared && p.limit().IsUnlimited() }

// perUnit returns a rate as a number that is 1 or above, if there is a unit for that: 28/s, 1.4/m.
func perUnit(l pacer.Limit) string {
	if l.IsUnlimited() {
		return "inf"
	}
	n := float64(l.Rate())
	for _, unit := range []struct {
		name    string
		seconds float64
	}{{"s", 1}, {"m", 60}, {"h", 3600}} {
		if n*unit.seconds >= 1 {
			return tally.Number(n*unit.seconds) + "/" + unit.name
		}
	}
	return tally.Number(n*86400) + "/d"
}

// with returns an environment with more of it, as NAME=value, in the place of what there is under the name.
func with(env, more []string) []string {
	for _, m := range more {
		name, _, _ := strings.Cut(m, "=")
		env = slices.DeleteFunc(env, func(v string) bool { n, _, _ := strings.Cut(v, "="); return n == name })
		env = append(env, m)
	}
	return env
}

// environ returns the environment of commands that go by a key, or by none, without what is different for each.
func environ(key string) []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		switch name {
		case "THROTTLE_SEQ", "THROTTLE_SLOT", "THROTTLE_ATTEMPT":
			return true
		}
		return name == "THROTTLE_KEY"
	})
	if key != "" {
		env = append(env, "THROTTLE_KEY="+key)
	}
	return env
}

// open returns the pace that the flags ask for. With debt a grant may cost more than the burst.
func (o *paceOptions) open(debt bool, std streams) (*pace, error) {
	if o.shared() {
		limit, unit, err := o.limit.optional()
		if err != nil {
			return nil, err
		}
		return o.openShared(limit, unit, debt, std)
	}
	limit, unit, err := o.limit.limit()
	if err != nil {
		return nil, err
	}
	opts := []pacer.Option{pacer.WithTimer(func(fire func()) pacer.Timer { return finetimer.New(fire) })}
	if debt {
		opts = append(opts, pacer.WithDebt())
	}
	p := pacer.New(limit, opts...)
	own := &pace{
		now: func() limitState {
			return limitState{set: p.Limit(), effective: p.Effective(), cooldown: p.Cooldown(), paused: p.Paused()}
		},
		ask:   func(_ context.Context, n int) (pipe.Grant, error) { return p.ReserveN(n) },
		limit: p.Limit,
		unit:  unit,
		ahead: ahead,
		close: func() {},
	}
	own.wait = func(ctx context.Context) (batch.Grant, error) {
		if own.feeds == nil && !own.tracks {
			return nil, p.Wait(ctx)
		}
		r, err := p.Reserve()
		if err != nil {
			return nil, err
		}
		return ownGrant{own, r}, own.track(ctx, r)
	}
	return own, nil
}

// track waits for a reservation, and keeps its slot meanwhile for those who want to know when that is.
func (p *pace) track(ctx context.Context, r interface {
	Slot() time.Time
	Wait(ctx context.Context) error
},
) error {
	slot := r.Slot()
	p.next.Store(&slot)
	defer p.next.Store(nil)
	return r.Wait(ctx)
}

// An ownGrant is a grant of a limit of our own.
type ownGrant struct {
	pace *pace
	r    *pacer.Reservation
}

// Throttled is that of batch.Grant.
func (g ownGrant) Throttled(a *batch.Attempt) error {
	f := g.pace.feedback
	f.After = a.Verdict.After
	g.pace.feeds(a, g.r.Throttled(f))
	return nil
}

// A sharedGrant is a grant of a limit that is shared.
type sharedGrant struct {
	pace *pace
	r    *lockfile.Reservation
}

// Throttled is that of batch.Grant. What the remote said is told to others also when we were interrupted.
func (g sharedGrant) Throttled(a *batch.Attempt) error {
	f := g.pace.feedback
	f.After = a.Verdict.After
	ctx, stop := context.WithTimeout(context.Background(), tellWithin)
	defer stop()
	c, err := g.r.Throttled(ctx, f)
	if err != nil {
		return fmt.Errorf("the remote has throttled, and the others on the key could not be told: %w", err)
	}
	g.pace.feeds(a, c)
	return nil
}

// tellWithin is how long the lock of the state, which takes microseconds, is waited for.
const tellWithin = 10 * time.Second

func (o *paceOptions) openShared(limit pacer.Limit, unit pacer.Unit, debt bool, std streams) (*pace, error) {
	f, err := o.adopt(lockfile.Options{Limit: limit, Bytes: unit == pacer.Bytes, Debt: debt}, std)
	if err != nil {
		return nil, err
	}
	// What will be in force is known only when a grant is asked for, and how much to ask for depends on it.
	status, err := f.Status()
	known := limit
	switch {
	case err != nil:
		return nil, o.explain(err)
	case limit == (pacer.Limit{}) && !status.Limited:
		return nil, o.noLimit() // before any input is read
	case limit == (pacer.Limit{}):
		known = status.Limit
	case status.Limited:
		known = status.Limit.Stricter(limit)
	}
	if status.Limited && status.Bytes {
		unit = pacer.Bytes
	}
	shared := &pace{
		now: func() limitState {
			s, err := f.Status()
			if err != nil { // the next grant says so
				return limitState{set: f.Limit(), effective: f.Limit()}
			}
			return limitState{set: s.Limit, effective: s.Effective, cooldown: s.Cooldown, paused: s.Paused}
		},
		ask: func(ctx context.Context, n int) (pipe.Grant, error) { return f.Reserve(ctx, n) },
		limit: func() pacer.Limit {
			if now := f.Limit(); now != limit {
				return now
			}
			return known
		},
		unit:   unit,
		key:    o.key,
		shared: true,
		close:  func() { _ = f.Close() }, // what it holds is given back by our end too
	}
	shared.wait = func(ctx context.Context) (batch.Grant, error) {
		if shared.feeds == nil && !shared.tracks {
			return nil, f.Wait(ctx)
		}
		r, err := f.Reserve(ctx, 1)
		if err != nil {
			return nil, err
		}
		return sharedGrant{shared, r}, shared.track(ctx, r)
	}
	return shared, nil
}

// noLimit says that neither the flags nor the state have a limit.
func (o *paceOptions) noLimit() error {
	return fmt.Errorf("%s has no limit yet, and no rate is given: say --rate N/UNIT such as --rate 10/s, or --every 100ms", o.name())
}

// name names the shared state in messages.
func (o *paceOptions) name() string {
	if o.key != "" {
		return fmt.Sprintf("key %q", o.key)
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

// adopt opens the shared state for one who takes the limit that is stored where none is given.
func (o *paceOptions) adopt(opts lockfile.Options, std streams) (*lockfile.File, error) {
	opts.MustExist = opts.Limit == (pacer.Limit{})
	if !opts.MustExist && o.limit.burst == noBurst { // what isn't said is as it is
		opts.Limit.Burst = o.storedBurst()
	}
	f, err := o.file(opts, std)
	if opts.MustExist && errors.Is(err, fs.ErrNotExist) {
		return nil, o.noLimit()
	}
	return f, err
}

// storedBurst returns the burst that is stored, 0 if there is none.
func (o *paceOptions) storedBurst() int64 {
	path, err := o.path()
	if err != nil {
		return 0
	}
	s, err := lockfile.Read(path)
	if err != nil { // opening it will say so
		return 0
	}
	return s.Limit.Burst
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
		std.log.warn(fmt.Sprintf("warning: %v", err))
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
	return err
}
