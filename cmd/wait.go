package cmd

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// waitOptions are those of the command that waits for a grant and does no more.
type waitOptions struct {
	grantOptions
	json bool
}

func newWaitCommand(std streams) *cobra.Command {
	o := &waitOptions{}
	c := &cobra.Command{
		Use:   "wait [--key NAME] [--rate RATE] [flags]",
		Short: "Wait for a grant of a shared rate",
		Long: `Waits for one grant of a rate that all processes of this host share, in the
order in which they ask.`,
		Example: `  while read -r id; do throttle wait --key ec2; aws ... "$id"; done < ids
  throttle wait --key ec2 --no-wait || echo "later"`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.pace.apply(c.Flags(), std); err != nil {
				return blockedAsJSON(err, o.json, std)
			}
			return runWait(c.Context(), o, std)
		},
	}
	addGroups(c,
		newGroup("Rate", o.pace.addFlags, func(f *pflag.FlagSet) { o.pace.addCostFlags(f, "n") }),
		newGroup("Grant", o.addFlags, func(f *pflag.FlagSet) {
			f.BoolVar(&o.json, "json", false, "print the grant, or the refusal, as JSON")
		}),
	)
	return c
}

func runWait(ctx context.Context, o *waitOptions, std streams) error {
	o.usage = o.json
	sig := catch(ctx)
	defer sig.stop()
	g, err := o.take(sig.ctx, std)
	if err != nil {
		return interrupted(err)
	}
	if o.json {
		if err := printGrant(g, std); err != nil {
			return err
		}
	}
	if !g.Granted {
		return o.refused(g, std)
	}
	return nil
}

// blockedAsJSON prints that there is no grant, as JSON if that is asked for, where err says that the limit is blocked; it returns err.
func blockedAsJSON(err error, asked bool, std streams) error {
	if blocked := (*blockedError)(nil); asked && errors.As(err, &blocked) {
		return cmp.Or(printGrant(grant{Blocked: true, Retry: -1}, std), err)
	}
	return err
}

// printGrant prints a grant as a line of JSON. Times are in seconds, and exact.
func printGrant(g grant, std streams) error {
	out := struct {
		Key     string      `json:"key,omitempty"`
		Granted bool        `json:"granted"`
		Blocked bool        `json:"blocked,omitempty"`           // by limit = 0 in throttle.toml
		Slot    string      `json:"slot,omitempty"`              // on the wall clock
		OnBoot  json.Number `json:"slot_since_boot_s,omitempty"` // the same in seconds since the host was booted
		Waited  json.Number `json:"waited_s"`                    //
		Retry   json.Number `json:"retry_after_s,omitempty"`     // where it is not granted
		// Of the limit of which the least is left, and of all of them.
		Limit     string      `json:"limit,omitempty"`
		Remaining *int64      `json:"remaining,omitempty"`
		Reset     json.Number `json:"reset_s,omitempty"` // until there is more
		Limits    []jsonUsage `json:"limits"`
	}{Limits: usageJSON(g.Usage, g.Bytes), Key: g.Key, Granted: g.Granted, Blocked: g.Blocked, Waited: seconds(g.Waited)}
	if !g.Slot.IsZero() {
		out.Slot = g.Slot.Format(timeFormat)
	}
	if g.Granted {
		out.OnBoot = seconds(g.OnBoot)
	} else if g.Retry >= 0 {
		out.Retry = seconds(g.Retry)
	}
	if u, ok := tightest(g.Usage); ok {
		out.Limit, out.Remaining, out.Reset = u.Limit.String(), &u.Remaining, seconds(u.Reset)
	}
	return json.NewEncoder(std.out).Encode(out)
}
