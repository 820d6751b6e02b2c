package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/throttle-cli/throttle/internal/nearest"
	"github.com/throttle-cli/throttle/internal/storecheck"
)

func newStoreCommand(std streams) *cobra.Command {
	c := &cobra.Command{
		Use:   "store COMMAND",
		Short: "Check a store that hosts share, or make one",
		Long: `A store keeps the state of keys for many hosts: --store URL, or THROTTLE_STORE,
which are redis://HOST and dynamodb://TABLE and the like.`,
		Example: `  throttle store check redis://host:6379/0
  throttle store init 'dynamodb://throttle?region=eu-west-1'`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fmt.Errorf("say what to do with it: %s\nsee %s --help", oneOf(namesOf(c)), c.CommandPath())
			}
			hint := ""
			if similar := nearest.Of(args[0], namesOf(c)); similar != "" {
				hint = fmt.Sprintf(": did you mean %q?", similar)
			}
			return fmt.Errorf("unknown command %q of store%s\nthere are %s", args[0], hint, strings.Join(namesOf(c), ", "))
		},
		DisableFlagsInUseLine: true,
	}
	c.AddCommand(newStoreCheckCommand(std), newStoreInitCommand(std))
	addGroups(c)
	return c
}

// A serverCommand is one that is about a server.
type serverCommand struct {
	store storeOptions
	json  bool
}

// server returns the store of a URL, or of the flags.
func (o *serverCommand) server(args []string, log *logger) (*server, error) {
	switch {
	case len(args) > 0:
		o.store.url = args[0]
	case o.store.url == "":
		return nil, errors.New("say which store: its URL, such as redis://host:6379/0")
	}
	p, err := o.store.place()
	if err != nil {
		return nil, err
	}
	if !p.Remote() {
		return nil, fmt.Errorf("%s is of this host: there is no server", p.URL)
	}
	s, err := o.store.open(log)
	if err != nil {
		return nil, err
	}
	return s.(*server), nil //nolint:forcetypeassert // with fail on errors it is nothing else
}

func atMostOneURL(c *cobra.Command, args []string) error {
	if len(args) > 1 {
		return fmt.Errorf("unexpected argument %q: one URL is looked at\nsee %s --help", args[1], c.CommandPath())
	}
	return nil
}

func newStoreCheckCommand(std streams) *cobra.Command {
	o := &serverCommand{}
	o.store.onError, o.store.share = failOnError, 1
	c := &cobra.Command{
		Use:   "check [flags] [URL]",
		Short: "Connect to a store, and say what is wrong with it",
		Long: `Connects to a store, measures how long a round trip takes and how far the clock
of this host is from that of the server, and says what is missing: permissions, a
table, a setting. Exit code 1 if the store can't be used.`,
		Example: `  throttle store check redis://host:6379/0
  throttle store check --json 'dynamodb://throttle?region=eu-west-1'`,
		Args: atMostOneURL,
		RunE: func(c *cobra.Command, args []string) error {
			s, err := o.server(args, std.log)
			if err != nil {
				return err
			}
			r, err := s.check(c.Context())
			if err != nil {
				return err
			}
			if o.json {
				err = writeReportJSON(std.out, r)
			} else {
				err = writeReport(std.out, r)
			}
			if err == nil && r.Serious() {
				return exitCode(codeWrongFile)
			}
			return err
		},
	}
	addGroups(c, newGroup("Flags", func(f *pflag.FlagSet) { f.BoolVar(&o.json, "json", false, "print JSON") }, o.store.addURLFlag))
	return c
}

// writeReport writes a report for people: what is well first.
func writeReport(w io.Writer, r storecheck.Report) error {
	var b strings.Builder
	fmt.Fprintln(&b, r.Store)
	if r.Server != "" {
		fmt.Fprintf(&b, "  server      %s\n", r.Server)
	}
	if r.RoundTrip > 0 {
		fmt.Fprintf(&b, "  round trip  %v", fine(r.RoundTrip))
		if r.Median > 0 {
			fmt.Fprintf(&b, ", median %v", fine(r.Median))
		}
		b.WriteString("\n")
	}
	if r.AheadLeast != 0 || r.AheadMost != 0 {
		fmt.Fprintf(&b, "  clock       %s\n", skew(r.AheadLeast, r.AheadMost))
	}
	for _, p := range r.Problems {
		kind := "warning"
		if p.Serious {
			kind = "error"
		}
		fmt.Fprintf(&b, "%s: %s\n", kind, p.What)
		if p.Do != "" {
			fmt.Fprintf(&b, "  %s\n", p.Do)
		}
	}
	if len(r.Problems) == 0 {
		b.WriteString("  all is well\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// fine returns a duration as people read it, where a millisecond is long.
func fine(d time.Duration) time.Duration {
	if d < 10*time.Millisecond {
		return d.Round(time.Microsecond)
	}
	return round(d)
}

// skew says how far the clock of this host is from that of the server.
func skew(least, most time.Duration) string {
	middle, off := (least+most)/2, (most-least)/2
	switch {
	case least <= 0 && most >= 0:
		return fmt.Sprintf("that of the server, to %v", fine(max(-least, most)))
	case middle > 0:
		return fmt.Sprintf("%v ahead of the server's, to %v", fine(middle), fine(off))
	}
	return fmt.Sprintf("%v behind the server's, to %v", fine(-middle), fine(off))
}

func writeReportJSON(w io.Writer, r storecheck.Report) error {
	type problem struct {
		Serious bool   `json:"serious"`
		What    string `json:"what"`
		Do      string `json:"do"`
	}
	out := struct {
		Store      string    `json:"store"`
		Server     string    `json:"server"`
		RoundTrip  any       `json:"round_trip_s"`
		Median     any       `json:"round_trip_median_s"`
		AheadLeast any       `json:"clock_ahead_least_s"`
		AheadMost  any       `json:"clock_ahead_most_s"`
		Usable     bool      `json:"usable"`
		Problems   []problem `json:"problems"`
	}{
		r.Store, r.Server, seconds(r.RoundTrip), seconds(r.Median), seconds(r.AheadLeast), seconds(r.AheadMost), !r.Serious(), []problem{},
	}
	for _, p := range r.Problems {
		out.Problems = append(out.Problems, problem{p.Serious, p.What, p.Do})
	}
	return writeJSON(w, out)
}

func newStoreInitCommand(std streams) *cobra.Command {
	o := &serverCommand{}
	o.store.onError, o.store.share = failOnError, 1
	c := &cobra.Command{
		Use:   "init [flags] [URL]",
		Short: "Make the table of a DynamoDB store, and print the policy",
		Long: `Makes the table, with on-demand billing, in which items that nobody uses expire,
and prints the IAM policy that its users need. A table that is there, and right,
stays as it is.`,
		Example: "  throttle store init 'dynamodb://throttle?region=eu-west-1' > policy.json",
		Args:    atMostOneURL,
		RunE: func(c *cobra.Command, args []string) error {
			s, err := o.server(args, std.log)
			if err != nil {
				return err
			}
			return runStoreInit(c.Context(), s, std)
		},
	}
	addGroups(c, newGroup("Flags", o.store.addURLFlag))
	return c
}

func runStoreInit(ctx context.Context, s *server, std streams) error {
	policy, err := s.init(ctx)
	if err != nil {
		return err
	}
	std.log.note(fmt.Sprintf("%v is there; its users need this policy:", s), "store", s.String())
	_, err = io.WriteString(std.out, policy)
	return err
}
