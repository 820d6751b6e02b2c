package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/throttle-cli/throttle/internal/byname"
	"github.com/throttle-cli/throttle/internal/config"
)

// changeOptions are those of the commands that change a file, or what a store has.
type changeOptions struct {
	config   configOptions
	store    storeOptions
	service  string
	defaults bool
}

// A change changes an entry, in a file or in a text that a store has.
type change struct {
	check func(e config.Entry, values []string) error
	file  func(ctx context.Context, file string, e config.Entry, values []string) error
	text  func(t config.Text, e config.Entry, values []string) ([]byte, error)
}

func newLimitsSetCommand(std streams) *cobra.Command {
	return newChangeCommand(&cobra.Command{
		Use:   "set [flags] NAME FIELD VALUE...",
		Short: "Change one field of a limit in its file, or in a store",
		Long: `Changes one field of a limit, or of an account of it, and leaves the rest of the
file as it is, comments included. It changes the nearest file that has the limit,
else ./throttle.toml, which is created. A value is as the flag takes it; a rate may
have several. A file that would be wrong then is not changed. With --store it changes
what the store has for all hosts, and the keys there, those who wait included.`,
		Example: `  throttle limits set ec2 rate 20/s
  throttle limits set ec2 --account 1234 limit 0
  throttle limits set github rate 80/m 5000/h,algorithm=sliding-window`,
	}, std, change{
		check: func(e config.Entry, values []string) error {
			switch {
			case e.Field == "":
				return errors.New("say which field: one of " + strings.Join(config.Fields(), ", "))
			case len(values) == 0:
				return fmt.Errorf("say what %s is to be, or take it out with throttle limits unset", e.Field)
			}
			return nil
		},
		file: func(ctx context.Context, file string, e config.Entry, values []string) error {
			return config.Set(ctx, file, e, values, byname.Checks())
		},
		text: func(t config.Text, e config.Entry, values []string) ([]byte, error) {
			return t.Set(e, values, byname.Checks())
		},
	})
}

func newLimitsUnsetCommand(std streams) *cobra.Command {
	return newChangeCommand(&cobra.Command{
		Use:   "unset [flags] NAME [FIELD]",
		Short: "Take a field, an account or a limit out of its file, or store",
		Long: `Takes one field of a limit, or of an account of it, out of the file; without a
FIELD the account, or the limit with all of its accounts. The rest of the file
stays as it is. It changes the nearest file that has the limit, or with --store what
the store has for all hosts. Keys of a limit that is taken out keep it.`,
		Example: `  throttle limits unset ec2 burst
  throttle limits unset ec2 --account 1234`,
	}, std, change{
		check: func(_ config.Entry, values []string) error {
			if len(values) > 0 {
				return fmt.Errorf("unexpected argument %q: one field is taken out", values[0])
			}
			return nil
		},
		file: func(ctx context.Context, file string, e config.Entry, _ []string) error {
			return config.Unset(ctx, file, e, byname.Checks())
		},
		text: func(t config.Text, e config.Entry, _ []string) ([]byte, error) { return t.Unset(e, byname.Checks()) },
	})
}

// newChangeCommand completes a command that changes an entry of a file: [NAME] [FIELD] [VALUE]...
func newChangeCommand(c *cobra.Command, std streams, how change) *cobra.Command {
	o := &changeOptions{}
	o.config.table = &limitsTable{}
	c.ValidArgsFunction = func(c *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		switch at := len(args); {
		case at == 0 && !o.defaults:
			return completeLimits(c, args, word)
		case at == 0, at == 1 && !o.defaults:
			return config.Fields(), cobra.ShellCompDirectiveNoFileComp
		}
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		// Which entry is changed does not depend on the environment.
		if !givenHere(c.Flags(), "account") {
			o.config.account = ""
		}
		o.defaults = o.defaults && givenHere(c.Flags(), "defaults")
		e := config.Entry{Account: o.config.account}
		switch {
		case o.defaults && e.Account != "":
			return errConflict("--defaults", "--account")
		case !o.defaults && (len(args) == 0 || args[0] == ""):
			return fmt.Errorf("say which limit: throttle limits %s", c.Use)
		case !o.defaults:
			e.Limit, args = args[0], args[1:]
		}
		if len(args) > 0 {
			e.Field, args = args[0], args[1:]
		}
		if err := how.check(e, args); err != nil {
			return err
		}
		ctx := c.Context()
		if givenHere(c.Flags(), "store") {
			return o.inStore(ctx, how, e, args, std)
		}
		if givenHere(c.Flags(), "service") {
			return errors.New("--service goes with --store")
		}
		file, err := o.file(e, c.Name() == "set", std.log)
		if err != nil {
			return err
		}
		if err := how.file(ctx, file, e, args); err != nil {
			return err
		}
		std.log.note(fmt.Sprintf("%s: %v is changed", file, e), "file", file)
		// The value is right by itself, but may not go with what is there.
		if now, err := byname.Load(file); err == nil {
			for _, problem := range byname.Problems(now) {
				std.log.warn("warning: " + problem.Error())
			}
		}
		return nil
	}
	addGroups(c, newGroup("Flags", func(f *pflag.FlagSet) {
		f.Var((*name)(&o.config.account), "account", "of its account `NAME`")
		f.BoolVar(&o.defaults, "defaults", false, "of the defaults, in the place of a NAME")
	}, o.config.addFileFlag, func(f *pflag.FlagSet) {
		o.store.addTableFlags(f, &o.service)
	}))
	return c
}

// inStore changes what a store has.
func (o *changeOptions) inStore(ctx context.Context, how change, e config.Entry, values []string, std streams) error {
	if o.config.file != "" {
		return errConflict("--store", "--config")
	}
	t, err := changeTable(ctx, &o.store, o.service, e.Limit, std.log)
	if err != nil {
		return err
	}
	data, err := how.text(t.text(), e, values)
	if err != nil {
		return err
	}
	keys, err := t.write(ctx, data)
	o.config.table.forget(o.store.url)
	if err == nil || len(keys) > 0 {
		std.log.note(fmt.Sprintf("%s: %v is changed%s", t.text().Name, e, saysKeys(keys)), "store", t.store.String(), "service", t.service, "keys", keys)
	}
	return err
}

// file returns the file to change: the one that is named, else the nearest that has the entry, else the one in the working directory
// if it may be added to.
func (o *changeOptions) file(e config.Entry, add bool, log *logger) (string, error) {
	if o.config.file != "" {
		return o.config.file, nil
	}
	c, err := o.config.load(log)
	if err != nil {
		return "", err
	}
	if e.Limit == "" {
		return cmp.Or(c.FileOfDefaults(e.Field), config.FileName), nil
	}
	if file := c.FileOf(e.Limit); file != "" {
		return file, nil
	}
	if !add {
		_, err := c.Lookup(e.Limit, "", nil) // says which there are
		return "", err
	}
	return config.FileName, nil
}
