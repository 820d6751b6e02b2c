package cmd

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/throttle-cli/throttle/internal/batch"
	"github.com/throttle-cli/throttle/internal/job"
)

func newExecCommand(std streams) *cobra.Command {
	o := &execOptions{}
	c := &cobra.Command{
		Use:   "exec [--key NAME] [--rate RATE] [flags] -- COMMAND [ARG]...",
		Short: "Run one command at its slot of a shared rate",
		Long: `Waits for one grant of a rate that all processes of this host share, in the
order in which they ask, and becomes the command: its stdin, terminal, signals
and exit code are its own. With --attempts, --throttled-on, --preset or
--timeout it stays, looks at how the command ends, and passes signals on.`,
		Example: `  throttle exec --key ec2 --rate 20/s -- aws ec2 describe-instances
  throttle exec --key ec2 --max-wait 10s -- aws ec2 describe-instances
  throttle exec --key ec2 --preset aws --attempts 5 -- aws ec2 describe-regions`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 || c.ArgsLenAtDash() != 0 {
				return errors.New("the command stands after --, as in: throttle exec --key ec2 --rate 20/s -- aws ec2 describe-instances")
			}
			return nil
		},
		RunE: func(c *cobra.Command, command []string) error {
			if err := o.pace.apply(c.Context(), c.Flags(), std); err != nil {
				return err
			}
			return runExec(c.Context(), o, command, std)
		},
	}
	addGroups(c,
		newGroup("Rate", o.pace.addFlags, func(f *pflag.FlagSet) { o.pace.addCostFlags(f, "n") }),
		newGroup("Grant", o.addFlags),
		newGroup("Attempts", o.retry.addFlags, o.addTermFlags),
		newGroup("Messages", std.log.addFlags),
	)
	return c
}

// execOptions are those of the command that runs one.
type execOptions struct {
	grantOptions
	retry   retryOptions
	termSeq string
}

func (o *execOptions) addTermFlags(f *pflag.FlagSet) {
	f.StringVar(&o.termSeq, "term-seq", job.DefaultTermSeq, "and do so with these `SIGNALS` and pauses in ms")
}

func runExec(ctx context.Context, o *execOptions, command []string, std streams) error {
	react, err := o.retry.reaction()
	if err != nil {
		return err
	}
	path, err := job.LookPath(command[0]) // before a grant is taken
	if err != nil {
		return &batch.StartError{Name: command[0], Err: err}
	}
	if react.Judges() || o.retry.timeout > 0 {
		return o.supervise(ctx, path, command, react, std)
	}
	sig := catch(ctx)
	defer sig.stop()
	g, err := o.take(sig.ctx, std)
	switch {
	case err != nil:
		return interrupted(err)
	case !g.Granted:
		return o.refused(g, std)
	}
	sig.release() // from here on a signal is the command's
	if err := context.Cause(sig.ctx); err != nil {
		return interrupted(err)
	}
	env := append(environ(g.Key, o.pace.store.env()), "THROTTLE_SEQ=1", "THROTTLE_ATTEMPT=1", "THROTTLE_SLOT=1")
	return become(path, command, env, std)
}
