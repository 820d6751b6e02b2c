package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/throttle-cli/throttle/internal/store"
	"github.com/throttle-cli/throttle/lockfile"
)

// statusOptions are those of the command that shows how keys stand.
type statusOptions struct {
	config configOptions
	store  storeOptions
	state  string
	json   bool
	watch  bool
	prune  bool
}

func newStatusCommand(std streams) *cobra.Command {
	o := &statusOptions{}
	o.config.store = &o.store
	c := &cobra.Command{
		Use:   "status [NAME]...",
		Short: "Show keys, their rates, and who waits",
		Long: `Shows for each key its limit and what is in force of it, how many grants there
were, when the next slot is, whether there is a cooldown and until when, and who
waits for how long. It takes no lock and waits for nobody.`,
		Example: `  throttle status
  throttle status --watch ec2
  throttle status --json | jq '.[] | select(.waiting != [])'`,
		RunE: func(c *cobra.Command, keys []string) error {
			if (len(keys) > 0 || o.prune) && !givenHere(c.Flags(), "state") {
				o.state = "" // the environment names one for those who name none
			}
			if o.state == "" {
				if err := o.config.settleStore(c.Flags(), std.log); err != nil {
					return err
				}
			}
			return runStatus(c.Context(), o, keys, std)
		},
	}
	addGroups(c, newGroup("Flags", func(f *pflag.FlagSet) {
		f.BoolVar(&o.json, "json", false, "print JSON")
		f.BoolVarP(&o.watch, "watch", "w", false, "show it again each second, until interrupted")
		f.BoolVar(&o.prune, "prune", false, "remove the state of keys not used for a day")
		f.StringVar(&o.state, "state", "", "show the state file `FILE`")
		o.store.addURLFlag(f)
		o.config.addFileFlag(f)
	}))
	return c
}

const (
	watchEvery = time.Second
	// unusedFor is how long a key must not have been used to be pruned. Its bucket must be full too.
	unusedFor  = 24 * time.Hour
	clearLines = "\x1b[H\x1b[J" // to the first line, and all below it
)

func runStatus(ctx context.Context, o *statusOptions, keys []string, std streams) error {
	if o.prune {
		if len(keys) > 0 || o.state != "" || o.watch || o.json {
			return errors.New("--prune goes alone")
		}
		return runPrune(o, std)
	}
	if o.state != "" && len(keys) > 0 {
		return errors.New("--state and the name of a key do not go together")
	}
	from, err := o.from(std)
	if err != nil {
		return err
	}
	sig := catch(ctx)
	defer sig.stop()
	out, isFile := std.out.(*os.File)
	terminal := isFile && isTerminal(out)
	for {
		all, err := read(sig.ctx, from, keys)
		if err != nil {
			return interrupted(err)
		}
		var b strings.Builder
		switch {
		case o.json:
			err = writeStatusJSON(&b, all, time.Now())
		default:
			if o.watch && terminal {
				b.WriteString(clearLines)
			}
			writeStatus(&b, all, time.Now())
		}
		if err == nil {
			_, err = io.WriteString(std.out, b.String())
		}
		if err != nil {
			return err
		}
		if !o.watch {
			if slices.ContainsFunc(all, func(s store.State) bool { return s.Err != nil }) {
				return exitCode(codeFailed) // the table says why
			}
			return nil
		}
		select {
		case <-time.After(watchEvery):
		case <-sig.ctx.Done():
			return exitCode(codeOf(context.Cause(sig.ctx)))
		}
	}
}

// from returns the store to look at.
func (o *statusOptions) from(std streams) (store.Store, error) {
	if o.state != "" {
		return stateFile(o.state), nil
	}
	return o.store.open(std.log)
}

func runPrune(o *statusOptions, std streams) error {
	s, err := o.from(std)
	if err != nil {
		return err
	}
	dir, ok := s.(folder)
	if !ok {
		return errors.New("--prune is for state files: what a server keeps ends by itself")
	}
	keys, err := lockfile.Prune(string(dir), unusedFor)
	for _, key := range keys {
		fmt.Fprintf(std.err, "throttle: removed the state of key %q\n", key)
	}
	return err
}

// read reads the state of the keys that are named, or of all.
func read(ctx context.Context, s store.Store, keys []string) ([]store.State, error) {
	if len(keys) == 0 {
		return s.All(ctx)
	}
	var all []store.State
	for _, key := range keys {
		state, err := s.Status(ctx, key)
		if errors.Is(err, store.ErrNoState) {
			return nil, fmt.Errorf("no state of key %q in %v", key, s)
		}
		if err != nil && state.Path == "" { // it is not about this key
			return nil, err
		}
		state.Err = err
		all = append(all, state)
	}
	return all, nil
}
