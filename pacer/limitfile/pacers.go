package limitfile

import (
	"context"
	"fmt"

	"github.com/throttle-cli/throttle/pacer"
)

// Pacers has a Pacer for each key of the limits and accounts of a File. Its methods may be called by any number of goroutines.
type Pacers struct {
	file     *File
	registry *pacer.Registry
	opts     []pacer.Option
}

// Pacers returns Pacers of the file: those that nobody uses are forgotten, as those of a pacer.Registry are.
func (f *File) Pacers(opts ...pacer.Option) *Pacers {
	return &Pacers{file: f, registry: pacer.NewRegistry(pacer.RegistryOptions{}), opts: opts}
}

// Get returns the Pacer of a limit, and an account of it unless that is "". It is not to be kept for longer than it takes to use it.
// Errors are those of File.Lookup, and pacer.ErrClosed. Where several limits have one key, all of them that were asked for hold: it
// is an error if those are too many.
//
// The Pacer has the limits, the debt and the max_queue of the file. What is about a grant is up to who asks for one: its cost and its
// max_wait, which Wait, Do and Limit.Grant go by; and so is what is about feedback, max_cooldown and adaptive, which are in the Feedback
// of File.Lookup: for a pacehttp.Transport it is its Feedback, and its requests cost 1 each.
func (p *Pacers) Get(name, account string) (*pacer.Pacer, error) {
	_, found, err := p.get(name, account)
	return found, err
}

func (p *Pacers) get(name, account string) (Limit, *pacer.Pacer, error) {
	l, err := p.file.lookup(name, account)
	if err != nil {
		return Limit{}, nil, err
	}
	found, err := p.registry.GetOr(l.Key, func() *pacer.Pacer { return l.New(p.opts...) })
	if err != nil {
		return Limit{}, nil, err
	}
	if err := found.Restrict(l.Limits); err != nil { // another limit has this key too
		return Limit{}, nil, fmt.Errorf("limit %s, and others with the key %s: %w", name, l.Key, err)
	}
	return l, found, nil
}

// Wait waits for a grant of the cost that the limit says, for no longer than its max_wait. Errors are those of File.Lookup and of
// Limit.Grant.
func (p *Pacers) Wait(ctx context.Context, name, account string) error {
	l, found, err := p.get(name, account)
	if err != nil {
		return err
	}
	_, err = l.Grant(ctx, found)
	return err
}

// Do waits as Wait does, and calls f. The error is that of Wait, or that of f.
func (p *Pacers) Do(ctx context.Context, name, account string, f func(context.Context) error) error {
	if err := p.Wait(ctx, name, account); err != nil {
		return err
	}
	return f(ctx)
}

// Close stops all of them: those who wait get pacer.ErrClosed, and so does whoever asks from now on.
func (p *Pacers) Close() { p.registry.Close() }
