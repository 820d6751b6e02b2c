// Package limitfile paces by the limits of a throttle.toml: by name and account, as throttle --limit NAME --account ACCOUNT
// does. What is in such a file is in docs/config.md.
//
// It looks an account up before its limit, and that before the defaults. Of the fields it takes those that say how many: rate,
// every, limit, algorithm, burst, cost, debt, max_queue, max_wait and key; and max_cooldown and adaptive, which are in
// Limit.Feedback for whoever reports that a grant was throttled. Limits that share a key share a queue, and so have to say the same of
// debt and of max_queue. What is about commands, preset and attempts, is for the command line. Grants are those of this process: those of
// several share a package lockfile.
package limitfile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/throttle-cli/throttle/internal/byname"
	"github.com/throttle-cli/throttle/internal/config"
	"github.com/throttle-cli/throttle/pacer"
)

// A File is what throttle.toml says. It does not change, and may be used by any number of goroutines.
type File struct {
	config *config.Config
	has    map[limitAccount]bool // what it has entries of; a limit is there with the account ""
	found  sync.Map              // what was looked up: a Limit for a limitAccount. There are as many as entries, and one for each limit
}

type limitAccount struct{ name, account string }

// Load reads a file. If path is "" it reads those that the command line would: ./throttle.toml, and throttle/throttle.toml in
// $XDG_CONFIG_HOME or ~/.config; they need not be there. All that is wrong is in the error, a line for each place.
func Load(path string) (*File, error) {
	c, err := byname.Load(path)
	if err != nil {
		return nil, err
	}
	if problems := append(byname.Problems(c), byname.QueueProblems(c)...); len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	f := &File{config: c, has: make(map[limitAccount]bool)}
	for _, name := range c.Limits() {
		for _, account := range append([]string{""}, c.Accounts(name)...) {
			f.has[limitAccount{name, account}] = true
		}
	}
	return f, nil
}

// Names returns the names of the limits, in order.
func (f *File) Names() []string { return f.config.Limits() }

// Accounts returns the accounts that have their own in a limit. Any other one has what the limit has.
func (f *File) Accounts(name string) []string { return f.config.Accounts(name) }

// Warnings returns what is odd about the files, a text for each: that everybody may write to one.
func (f *File) Warnings() []string { return f.config.Warnings() }

// A Limit is what holds for a limit and an account.
type Limit struct {
	Name, Account string
	Key           string // whose limit it is: those that have the same key share it. "ec2", or "ec2:1234" with an account
	Limits        pacer.Limits
	Unit          pacer.Unit     // what they count
	Cost          int            // the units of a grant, 1 or more
	Debt          bool           // whether a cost above what they can grant at once is borrowed
	MaxQueue      int            // how many may wait; -1: any number
	MaxWait       time.Duration  // how far away a slot may be; -1: any time
	Feedback      pacer.Feedback // Most and Adaptive, as the file says
}

// A BlockedError says that nothing is granted to a limit or an account: limit = 0.
type BlockedError struct {
	Name, Account string
	File          string // that says so, in Line
	Line          int
}

func (e *BlockedError) Error() string {
	return config.Blocked(e.Name, e.Account, e.File, e.Line)
}

// ErrNoRate is what a limit is that has no rate, in the file.
var ErrNoRate = errors.New("no rate is said")

// An unknownError is a pacer.ErrUnknown.
type unknownError struct{ error }

func (unknownError) Is(target error) bool { return target == pacer.ErrUnknown }

// Lookup returns what holds for a limit, and an account of it unless that is "". Errors are a *BlockedError, ErrNoRate, and for a
// name that there is not a pacer.ErrUnknown, which names those there are.
func (f *File) Lookup(name, account string) (Limit, error) {
	l, err := f.lookup(name, account)
	l.Limits = slices.Clone(l.Limits) // the caller may change them
	return l, err
}

// lookup is Lookup for those who leave the Limits as they are. It reads the texts of a file once. Of the accounts that the file does not
// have there may be any number, and they have the same but for their names.
func (f *File) lookup(name, account string) (Limit, error) {
	at := limitAccount{name, account}
	switch {
	case !f.has[limitAccount{name, ""}]:
		_, err := f.config.Lookup(name, "", nil)
		if name == "" || err == nil {
			err = errors.New(`limit "" is no name`)
		}
		return Limit{}, unknownError{err}
	case account != "" && !f.has[at]:
		at.account = byname.Anybody
	}
	if known, ok := f.found.Load(at); ok {
		l, _ := known.(Limit)
		return l.of(account), nil
	}
	l, err := f.read(at.name, at.account)
	if err != nil {
		return f.read(name, account) // with its name in the error
	}
	f.found.Store(at, l)
	return l.of(account), nil
}

// of returns what an account has, where l is what any has, or that of the account.
func (l Limit) of(account string) Limit {
	if l.Account == byname.Anybody {
		l.Account, l.Key = account, strings.ReplaceAll(l.Key, byname.Anybody, account)
	}
	return l
}

// read returns what the texts of a file say.
func (f *File) read(name, account string) (Limit, error) {
	e, err := f.config.Lookup(name, account, nil)
	if err != nil {
		return Limit{}, err
	}
	if v, _ := e.Value("limit"); e.Blocked {
		return Limit{}, &BlockedError{Name: name, Account: account, File: v.Origin.File, Line: v.Origin.Line}
	}
	l := Limit{
		Name: name, Account: account, Key: e.Text("key"),
		Cost: int(e.Number("cost", 1)), Debt: e.Truth("debt"), MaxQueue: int(e.Number("max_queue", -1)), MaxWait: e.Duration("max_wait", -1),
		Feedback: pacer.Feedback{Most: e.Duration("max_cooldown", 0), Adaptive: e.Truth("adaptive")},
	}
	switch l.Limits, l.Unit, err = byname.RateOf(e).Limits(); {
	case err != nil:
		return Limit{}, fmt.Errorf("%v: %w", e, err)
	case len(l.Limits) == 0:
		return Limit{}, fmt.Errorf("%v: %w in its file", e, ErrNoRate)
	}
	return l, nil
}

// Options returns those of a Pacer of the limit, before others.
func (l Limit) Options(others ...pacer.Option) []pacer.Option {
	var opts []pacer.Option
	if l.Debt {
		opts = append(opts, pacer.WithDebt())
	}
	if l.MaxQueue >= 0 {
		opts = append(opts, pacer.WithQueue(l.MaxQueue))
	}
	return append(opts, others...)
}

// New returns a Pacer of the limit.
func (l Limit) New(others ...pacer.Option) *pacer.Pacer {
	return pacer.NewAll(l.Limits, l.Options(others...)...)
}

// A LateError says that a slot was further away than max_wait.
type LateError struct {
	Wait time.Duration // how far away it was; negative: there is none
	Most time.Duration
}

func (e *LateError) Error() string {
	if e.Wait < 0 {
		return fmt.Sprintf("not granted: there is no slot within max_wait, %v", e.Most)
	}
	return fmt.Sprintf("not granted: the slot is %v away, and max_wait is %v", e.Wait.Round(time.Microsecond), e.Most)
}

// Grant waits for a grant of the cost of the limit, by a Pacer of it. If the slot is further away than MaxWait, or is moved there, the
// error is a *LateError and nothing has changed.
func (l Limit) Grant(ctx context.Context, p *pacer.Pacer) (*pacer.Reservation, error) {
	if l.MaxWait < 0 {
		return p.Grant(ctx, l.Cost)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	r, err := p.ReserveN(l.Cost)
	if err != nil {
		return nil, err
	}
	late := &LateError{Wait: -1, Most: l.MaxWait}
	slot := r.Slot()
	if !slot.IsZero() {
		late.Wait = time.Until(slot)
	}
	if (slot.IsZero() || late.Wait > l.MaxWait) && r.Cancel() {
		return nil, late
	}
	ctx, stop := context.WithTimeoutCause(ctx, l.MaxWait, &LateError{Wait: -1, Most: l.MaxWait})
	defer stop()
	if err := r.Wait(ctx); err != nil {
		return nil, err
	}
	return r, nil
}
