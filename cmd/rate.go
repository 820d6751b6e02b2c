package cmd

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/pflag"

	"github.com/throttle-cli/throttle/internal/byname"
	"github.com/throttle-cli/throttle/internal/finetimer"
	"github.com/throttle-cli/throttle/internal/template"
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
	store    storeOptions
	cost     string
	debt     bool
	maxQueue int
	patient  bool // no matter how many wait: --max-queue is that of another mode
}

// anyQueue is the --max-queue of those who give none.
const anyQueue = -1

func (o *paceOptions) addFlags(f *pflag.FlagSet) {
	o.maxQueue = anyQueue
	o.limit.addFlags(f)
	o.addKeyFlags(f)
	o.config.addFlags(f)
	o.config.store = &o.store
	if o.config.table == nil {
		o.config.table = &limitsTable{}
	}
}

func (o *paceOptions) addKeyFlags(f *pflag.FlagSet) {
	f.Var((*name)(&o.key), "key", "share the rate with all that use the key `NAME`")
	f.Var((*name)(&o.state), "state", "share it by the state file `FILE`")
	o.store.addFlags(f)
}

// apply has the flags say what throttle.toml says. It comes first.
func (o *paceOptions) apply(ctx context.Context, flags *pflag.FlagSet, std streams) error {
	o.given = flags
	if err := o.store.check(); err != nil { // also where nothing is shared
		return err
	}
	o.config.settle(flags)
	if flags.Lookup("key-regexp") != nil { // it reads lines
		replace := lineString
		if f := flags.Lookup("replace"); f != nil {
			replace = f.Value.String()
		}
		_, eachLimit := template.Used(o.config.limit, replace)
		_, eachAccount := template.Used(o.config.account, replace)
		if eachLimit || eachAccount {
			return o.applyJobs(ctx, flags, eachLimit, std)
		}
	}
	if err := applyLimit(ctx, flags, &o.config, std.log); err != nil {
		return err
	}
	// Who says where the rate is to be kept wants to share it.
	if givenHere(flags, "store") && !o.shared() && o.perLine.keyRegexp == "" && flags.Lookup("key") != nil {
		o.key = defaultKey
	}
	return nil
}

// lineString stands for the line, unless another string does.
const lineString = "{}"

// applyJobs does so for what is said of jobs, where each line says what its account is, or its limit too: then it is what the defaults
// say. The rest is that of the line, also whether it is blocked.
func (o *paceOptions) applyJobs(ctx context.Context, flags *pflag.FlagSet, eachLimit bool, std streams) error {
	jobs := pflag.NewFlagSet("", pflag.ContinueOnError)
	for _, name := range []string{"preset", "adaptive", "attempts", "max-cooldown"} {
		if f := flags.Lookup(name); f != nil {
			jobs.AddFlag(f)
		}
	}
	looks := pflag.NewFlagSet("", pflag.ContinueOnError) // where there may be such a limit, too
	looks.AddFlagSet(jobs)
	if f := flags.Lookup("store"); f != nil {
		looks.AddFlag(f)
	}
	of := o.config
	of.account = byname.Anybody
	if eachLimit {
		of.limit, of.account = "", ""
	}
	e, err := of.lookup(ctx, looks, std.log)
	o.config.loaded = of.loaded
	if err != nil {
		return err
	}
	return applyValues(jobs, e, std.log)
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

// open returns the pace that the flags ask for. With debt a grant may cost more than the burst.
func (o *paceOptions) open(ctx context.Context, debt bool, std streams) (*pace, error) {
	if o.lines != nil && o.lines.keys {
		return o.openKeyed(ctx, debt, std)
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
		return o.openShared(ctx, w, cost, debt || o.debt, std)
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
	return &pace{limiter: ownLimiter{pacer.NewAll(w.limits, opts...)}, unit: w.unit, ahead: ahead, cost: cost, explain: o.explain}, nil
}

func (o *paceOptions) openShared(ctx context.Context, w wanted, cost int, debt bool, std streams) (*pace, error) {
	// What will be in force is known only when a grant is asked for, and how much to ask for depends on it.
	status, asked, err := o.status(ctx, std)
	if err != nil {
		return nil, o.explain(err)
	}
	k, err := o.adopt(ctx, w, debt, std)
	if err != nil {
		return nil, err
	}
	given := k.Limits()
	known := given
	if w.isOpen() && status.Limited {
		known = w.as(status.Limits)
	}
	switch {
	case given == nil && !status.Limited:
		return nil, o.noLimit() // before any input is read
	case given == nil:
		known = status.Limits
	case status.Limited:
		known = status.Limits.Stricter(known)
	}
	if !debt {
		if err := known.CheckCost(int64(cost), false); err != nil {
			return nil, o.explain(err)
		}
	}
	if status.Limited && status.Bytes {
		w.unit = pacer.Bytes
	}
	l := sharedLimiter{Key: k, given: given, known: known}
	p := &pace{limiter: l, unit: w.unit, key: o.key, store: o.store.env(), cost: cost, shared: true, explain: o.explain}
	if o.remote() {
		if asked {
			p.trip = o.trip(ctx, std)
		}
		// Else a place would be asked for when the slot of the one before it has come, and that is known: two round trips too late.
		p.ahead = ahead + 2*tripsTogether*p.trip
	}
	return p, nil
}
