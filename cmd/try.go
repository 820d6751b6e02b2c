package cmd

import (
	"context"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// tryOptions are those of the command that takes a grant if there is one now.
type tryOptions struct {
	grantOptions
	json    bool
	headers bool
}

func newTryCommand(std streams) *cobra.Command {
	o := &tryOptions{}
	o.noWait = true
	c := &cobra.Command{
		Use:   "try [--key NAME] [--rate RATE] [flags]",
		Short: "Take a grant of a shared rate if there is one now",
		Long: `Takes a grant if it is due now and nobody waits, and exits with 0. If not it
exits with 75 (or -E), takes nothing, and says when there will be one. What is left of
the limits is printed for those who have to answer somebody else.`,
		Example: `  throttle try --key login:alice --rate 5/m --json || exit
  throttle try --key login:alice --rate 5/m --headers    for an answer with status 429`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.pace.apply(c.Context(), c.Flags(), std); err != nil {
				return blockedAsJSON(err, o.json, std)
			}
			return runTry(c.Context(), o, std)
		},
	}
	addGroups(c,
		newGroup("Rate", o.pace.addFlags, func(f *pflag.FlagSet) { o.pace.addCostFlags(f, "n") }),
		newGroup("Grant", o.addCodeFlag, func(f *pflag.FlagSet) {
			f.BoolVar(&o.json, "json", false, "print the grant or the refusal, and what is left, as JSON")
			f.BoolVar(&o.headers, "headers", false, "print them as fields of HTTP: RateLimit, Retry-After")
		}),
	)
	return c
}

func runTry(ctx context.Context, o *tryOptions, std streams) error {
	if o.json && o.headers {
		return errConflict("--json", "--headers")
	}
	o.usage = o.json || o.headers
	sig := catch(ctx)
	defer sig.stop()
	g, err := o.take(sig.ctx, std)
	if err != nil {
		return interrupted(err)
	}
	switch {
	case o.json:
		err = printGrant(g, std)
	case o.headers:
		err = writeHeaders(std.out, g)
	}
	switch {
	case err != nil:
		return err
	case !g.Granted:
		return o.refused(g, std)
	}
	return nil
}
