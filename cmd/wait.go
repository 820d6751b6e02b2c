package cmd

import (
	"context"

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
			if err := o.pace.apply(c.Context(), c.Flags(), std); err != nil {
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
