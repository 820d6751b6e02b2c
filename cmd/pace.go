package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/pflag"

	"github.com/throttle-cli/throttle/internal/batch"
	"github.com/throttle-cli/throttle/internal/finetimer"
	"github.com/throttle-cli/throttle/internal/pipe"
	"github.com/throttle-cli/throttle/internal/tally"
	"github.com/throttle-cli/throttle/internal/template"
	"github.com/throttle-cli/throttle/lockfile"
	"github.com/throttle-cli/throttle/pacer"
)

// paceOptions are the flags that say what the limits are, with whom they are shared, and what a grant costs.
type paceOptions struct {
	limit    limitOptions
	config   configOptions
	perLine  perLineOptions
	lines    *placer        // nil where all lines go by the same limit
	given    *pflag.FlagSet // the flags of the mode
	key      string
	state    string
	cost     string
	debt     bool
	maxQueue int
}

// anyQueue is the --max-queue of those who give none.
const anyQueue = -1

func (o *paceOptions) addFlags(f *pflag.FlagSet) {
	o.limit.addFlags(f)
	o.addKeyFlags(f)
	o.config.addFlags(f)
}

func (o *paceOptions) addKeyFlags(f *pflag.FlagSet) {
	f.Var((*name)(&o.key), "key", "share the rate with all that use the key `NAME`")
	f.Var((*name)(&o.state), "state", "share it by the state file `FILE`")
}

// apply has the flags say what throttle.toml says. It comes first.
func (o *paceOptions) apply(flags *pflag.FlagSet, std streams) error {
	o.given = flags
	if _, err := o.config.load(std.log); err != nil {
		return err
	}
	if f := flags.Lookup("replace"); f != nil && (isTemplate(o.config.limit, f) || isTemplate(o.config.account, f)) {
		if isTemplate(o.config.limit, f) {
			return nil // each line says which it is
		}
		return o.applyJobs(flags, std)
	}
	return applyLimit(flags, &o.config, std.log)
}

// applyJobs does so for what the limit says of jobs, where each line says what its account is: the rest is that of the account.
func (o *paceOptions) applyJobs(flags *pflag.FlagSet, std streams) error {
	jobs := pflag.NewFlagSet("", pflag.ContinueOnError)
	for _, name := range []string{"preset", "adaptive", "attempts", "max-cooldown"} {
		if f := flags.Lookup(name); f != nil {
			jobs.AddFlag(f)
		}
	}
	limit := o.config
	limit.account = ""
	err := applyLimit(jobs, &limit, std.log)
	if blocked := (*blockedError)(nil); errors.As(err, &blocked) { // an account of it may not be
		return nil
	}
	return err
}

func isTemplate(text string, replace *pflag.Flag) bool {
	_, ok := template.Used(text, replace.Value.String())
	return ok
}

// addCostFlags adds --cost with a letter, "" for none, and --debt.
func (o *paceOptions) addCostFlags(f *pflag.FlagSet, letter string) {
	f.StringVarP(&o.cost, "cost", letter, "1", "a grant costs `N` units of each rate")
	f.BoolVar(&o.debt, "debt", false, "let it cost more than a burst, and wait for all of it")
}

func (o *paceOptions) addQueueFlags(f *pflag.FlagSet) {
	f.IntVar(&o.maxQueue, "max-queue", anyQueue, "give up if `N` wait already")
}

// queue returns --max-queue as a state file takes it.
func (o *paceOptions) queue() (int, error) {
	switch {
	case o.maxQueue == anyQueue:
		return 0, nil
	case o.maxQueue < 0:
		return 0, fmt.Errorf("--max-queue %d: it is 0 or more", o.maxQueue)
	case o.maxQueue == 0:
		return -1, nil
	}
	return o.maxQueue, nil
}

// units returns what a grant costs, where that does not depend on the line.
func (o *paceOptions) units() (int, error) {
	if o.lines != nil && o.lines.cost != nil {
		return 1, nil
	}
	return parseCost(o.cost)
}

func parseCost(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("cost %q: it is a whole number, 1 or more", text)
	}
	return n, nil
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
	limiter
	unit  pacer.Unit
	ahead time.Duration // for how long grants may be asked for before their slots
	key   string
	cost  int    // of each grant
	keyed *keyed // nil unless lines have keys of their own
	whose string // names the limit in messages
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
	if o.lines != nil && o.lines.keys {
		return o.openKeyed(debt, std)
	}
	cost, err := o.units()
	if err != nil {
		return nil, err
	}
	if o.shared() {
		w, err := o.limit.optional()
		if err != nil {
			return nil, err
		}
		return o.openShared(w, cost, debt || o.debt, std)
	}
	w, err := o.limit.limits()
	if err != nil {
		return nil, err
	}
	opts := []pacer.Option{pacer.WithTimer(func(fire func()) pacer.Timer { return finetimer.New(fire) })}
	if _, err := o.queue(); err != nil {
		return nil, err
	}
	if o.maxQueue >= 0 {
		opts = append(opts, pacer.WithQueue(o.maxQueue))
	}
	if debt || o.debt {
		opts = append(opts, pacer.WithDebt())
	} else if err := w.limits.CheckCost(int64(cost), false); err != nil {
		return nil, o.explain(err)
	}
	return &pace{limiter: ownLimiter{pacer.NewAll(w.limits, opts...)}, unit: w.unit, ahead: ahead, cost: cost, whose: o.name(), explain: o.explain}, nil
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
	r    reservation
}

// Throttled is that of batch.Grant. What the remote said is told to others also when we were interrupted.
func (g grantOf) Throttled(a *batch.Attempt) error {
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

// Ended is that of batch.Grant: nothing is given back.
func (grantOf) Ended() {}

// tellWithin is how long the lock of the state, which takes microseconds, is waited for.
const tellWithin = 10 * time.Second

func (o *paceOptions) openShared(w wanted, cost int, debt bool, std streams) (*pace, error) {
	// What will be in force is known only when a grant is asked for, and how much to ask for depends on it.
	status := o.status()
	f, err := o.adopt(w, status.Limits, debt, std)
	if err != nil {
		return nil, err
	}
	given := f.Limits()
	known := given
	switch {
	case given == nil && !status.Limited:
		return nil, o.noLimit() // before any input is read
	case given == nil:
		known = status.Limits
	case status.Limited:
		known = status.Limits.Stricter(given)
	}
	if !debt {
		if err := known.CheckCost(int64(cost), false); err != nil {
			return nil, o.explain(err)
		}
	}
	if status.Limited && status.Bytes {
		w.unit = pacer.Bytes
	}
	l := sharedLimiter{File: f, given: given, known: known}
	return &pace{limiter: l, unit: w.unit, key: o.key, cost: cost, shared: true, whose: o.name(), explain: o.explain}, nil
}

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
	if errors.Is(err, lockfile.ErrFull) {
		return &refusedError{fmt.Sprintf("%s: not granted: %s", o.name(), full(o.maxQueue))}
	}
	if cost := (*pacer.CostError)(nil); errors.As(err, &cost) && cost.Cost > cost.Burst {
		return fmt.Errorf("%w: give a larger --burst, or --debt to wait for all of it", err)
	}
	return err
}
