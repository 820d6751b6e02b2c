package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/throttle-cli/throttle/lockfile"
)

// statusOptions are those of the command that shows how keys stand.
type statusOptions struct {
	state string
	json  bool
	watch bool
	prune bool
}

func newStatusCommand(std streams) *cobra.Command {
	o := &statusOptions{}
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
			return runStatus(c.Context(), o, keys, std)
		},
	}
	addGroups(c, newGroup("Flags", func(f *pflag.FlagSet) {
		f.BoolVar(&o.json, "json", false, "print JSON")
		f.BoolVarP(&o.watch, "watch", "w", false, "show it again each second, until interrupted")
		f.BoolVar(&o.prune, "prune", false, "remove the state of keys not used for a day")
		f.StringVar(&o.state, "state", "", "show the state file `FILE`")
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
		return runPrune(std)
	}
	if o.state != "" && len(keys) > 0 {
		return errors.New("--state and the name of a key do not go together")
	}
	sig := catch(ctx)
	defer sig.stop()
	out, isFile := std.out.(*os.File)
	terminal := isFile && isTerminal(out)
	for {
		all, err := o.read(keys)
		if err != nil {
			return err
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
			if slices.ContainsFunc(all, func(s keyStatus) bool { return s.err != nil }) {
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

func runPrune(std streams) error {
	dir, err := lockfile.DefaultDir(os.Getenv)
	if err != nil {
		return err
	}
	keys, err := lockfile.Prune(dir, unusedFor)
	for _, key := range keys {
		fmt.Fprintf(std.err, "throttle: removed the state of key %q\n", key)
	}
	return err
}

// A keyStatus is how a key stands, or why that is not known.
type keyStatus struct {
	lockfile.Status
	err error
}

// read reads the state of the keys that are named, or of all.
func (o *statusOptions) read(keys []string) ([]keyStatus, error) {
	if o.state != "" {
		s, err := lockfile.Read(o.state)
		return []keyStatus{{Status: s}}, err
	}
	dir, err := lockfile.DefaultDir(os.Getenv)
	if err != nil {
		return nil, err
	}
	var all []keyStatus
	for _, key := range keys {
		s, err := lockfile.Read(lockfile.PathOf(dir, key))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("no state of key %q in %s", key, dir)
		}
		s.Key, s.Path = key, lockfile.PathOf(dir, key)
		all = append(all, keyStatus{s, err})
	}
	if len(keys) > 0 {
		return all, nil
	}
	paths, err := lockfile.List(dir)
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		s, err := lockfile.Read(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it was removed meanwhile
		}
		s.Path = path
		all = append(all, keyStatus{s, err})
	}
	slices.SortStableFunc(all, func(a, b keyStatus) int { return strings.Compare(a.Key, b.Key) })
	return all, nil
}
