package cmd

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/throttle-cli/throttle/internal/byname"
	"github.com/throttle-cli/throttle/internal/config"
)

// showOptions are those of the command that shows what holds for a limit.
type showOptions struct {
	config configOptions
	store  storeOptions
	json   bool
}

func newLimitsShowCommand(std streams) *cobra.Command {
	o := &showOptions{}
	o.config.store, o.config.table, o.config.shows = &o.store, &limitsTable{}, true
	c := &cobra.Command{
		Use:   "show [flags] [NAME]",
		Short: "Show what holds for a limit, and who says so",
		Long: `Shows each value that holds for a limit, and for an account of it, with the line
that says so, and what it overrules: the account goes before the limit, that
before flags and the environment, and those before the defaults. The flags that a
call would have may be given. Without a NAME it shows what holds without a limit.`,
		Example: `  throttle limits show ec2 --account 1234
  throttle limits show ec2 --account 1234 --burst 7`,
		Args: atMostOneName,
		ValidArgsFunction: func(c *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return completeLimits(c, args, word)
		},
		RunE: func(c *cobra.Command, names []string) error {
			if len(names) > 0 { // as --limit has it
				o.config.limit = names[0]
				if key := c.Flags().Lookup("key"); key.Annotations[fromJob] != nil {
					_ = forget(key) // a text can be anything
				}
			}
			o.config.settle(c.Flags())
			return runLimitsShow(c.Context(), o, c.Flags(), std)
		},
	}
	addGroups(c,
		newGroup("Which", func(f *pflag.FlagSet) {
			f.Var((*name)(&o.config.account), "account", "with what the account `NAME` has")
		},
			o.config.addFileFlag,
			o.store.addURLFlag,
			func(f *pflag.FlagSet) { f.BoolVar(&o.json, "json", false, "print JSON") }),
		newGroup("Flags of a call", addCallFlags),
	)
	return c
}

func atMostOneName(c *cobra.Command, args []string) error {
	if len(args) > 1 {
		return fmt.Errorf("unexpected argument %q: one limit is shown\nsee %s --help", args[1], c.CommandPath())
	}
	return nil
}

// addCallFlags adds what a call can say of a limit. They are looked at by their names only.
func addCallFlags(f *pflag.FlagSet) {
	f.StringArrayP("rate", "r", nil, "`N/UNIT`, several for several limits at once")
	f.String("every", "", "one each `INTERVAL`")
	f.String("delay", "", "the same as --every")
	_ = f.MarkHidden("delay")
	f.String("algorithm", "", "the `NAME` of it")
	f.String("burst", "", "up to `N` at once")
	f.String("cost", "", "each takes `N` units")
	f.Bool("debt", false, "a cost above the burst is borrowed")
	f.String("max-queue", "", "refuse when `N` wait")
	f.String("max-wait", "", "give up after `DURATION`")
	f.String("key", "", "the `NAME` to share it by")
	f.String("preset", "", "what is known of `TOOL`")
	f.Bool("adaptive", false, "cut the rate when throttled")
	f.String("attempts", "", "run what fails up to `N` times")
	f.String("max-cooldown", "", "wait for the remote up to `DURATION`")
}

func runLimitsShow(ctx context.Context, o *showOptions, flags *pflag.FlagSet, std streams) error {
	c, err := o.config.load(std.log)
	if err != nil {
		return err
	}
	said := given(flags)
	if _, ok := said["rate"]; ok && said["every"].Texts != nil && said["rate"].Env == "" && said["every"].Env == "" {
		return errConflict("--rate", "--every")
	}
	for _, field := range config.Fields() { // in an order that is always the same
		g, ok := said[field]
		if !ok {
			continue
		}
		if err := c.CheckFlag(field, g.Texts); err != nil {
			from := config.Origin{Level: config.Flag, Flag: "--" + flagOf(flags, field).Name, Env: g.Env}
			return fmt.Errorf("%v: %w", from, err)
		}
	}
	e, err := o.config.lookup(ctx, flags, std.log)
	if err != nil {
		return err
	}
	if o.json {
		err = e.WriteJSON(std.out)
	} else {
		err = e.Write(std.out)
	}
	if err != nil {
		return err
	}
	// Each of the values is right. What is wrong with them together would be an error of the call.
	if _, _, err := byname.RateOf(e).Limits(); err != nil && !e.Blocked && !config.IsTemplate(e.Texts("rate")) {
		std.log.warn("warning: so a call is an error: " + err.Error())
	}
	return nil
}
