package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/throttle-cli/throttle/internal/byname"
	"github.com/throttle-cli/throttle/internal/config"
)

// loadOptions are those of the command that puts the limits of a file into a store.
type loadOptions struct {
	config  configOptions
	store   storeOptions
	service string
	dryRun  bool
}

func newLimitsLoadCommand(std streams) *cobra.Command {
	o := &loadOptions{service: defaultService}
	o.config.table = &limitsTable{}
	c := &cobra.Command{
		Use:   "load FILE --store URL [--service NAME]",
		Short: "Have a store keep the limits of a file, for all hosts",
		Long: `Has a store keep what FILE says: limits that are new are added, those that are
others are changed, and those that are not in FILE any more are deleted, as far as
they belong to the same service. The keys that there are go by it from then on,
those who wait included. A FILE that is wrong changes nothing. - is the stdin.`,
		Example: `  throttle limits load limits.toml --store redis://host:6379/0 --service billing
  throttle limits load limits.toml --store redis://host:6379/0 --dry-run`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("say which file: throttle limits %s", c.Use)
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return runLimitsLoad(c.Context(), o, args[0], std) },
	}
	addGroups(c, newGroup("Flags", func(f *pflag.FlagSet) {
		o.store.addTableFlags(f, &o.service)
		f.BoolVarP(&o.dryRun, "dry-run", "n", false, "say what would be done, and do nothing")
	}))
	return c
}

func runLimitsLoad(ctx context.Context, o *loadOptions, file string, std streams) error {
	if o.store.url == "" {
		return errors.New("say which store: --store URL, such as redis://host:6379/0")
	}
	name, data, err := readAll(file, std.in)
	if err != nil {
		return err
	}
	text := config.Text{Name: name, Data: data}
	t, err := changeTable(ctx, &o.store, o.service, "", std.log)
	if err != nil {
		return err
	}
	d, err := config.Compare(t.text(), text, byname.Checks())
	if err != nil {
		wrong := err
		if d, err = config.Compare(config.Text{Name: t.text().Name}, text, byname.Checks()); err != nil {
			return err
		}
		std.log.warn(fmt.Sprintf("warning: %v\nit can't be said what is changed: all of it is replaced", wrong))
	}
	var b strings.Builder
	for _, what := range []struct {
		done  string
		names []string
	}{{"added", d.Added}, {"changed", d.Changed}, {"deleted", d.Deleted}} {
		for _, name := range what.names {
			fmt.Fprintf(&b, "%s\t%s\n", what.done, namedLimit(name))
		}
	}
	if o.dryRun {
		if _, err := t.check(data); err != nil {
			return err
		}
		_, err := io.WriteString(std.out, b.String())
		return err
	}
	keys, err := t.write(ctx, data)
	o.config.table.forget(o.store.url)
	if err != nil && len(keys) == 0 {
		return err
	}
	if _, e := io.WriteString(std.out, b.String()); err == nil {
		err = e
	}
	std.log.note(fmt.Sprintf("%s: %s%s", t.text().Name, loaded(d), saysKeys(keys)), "store", t.store.String(), "service", t.service, "keys", keys)
	return err
}

// loaded says how much there was to do.
func loaded(d config.Difference) string {
	if n := len(d.Added) + len(d.Changed) + len(d.Deleted); n > 0 {
		return fmt.Sprintf("%d added, %d changed, %d deleted", len(d.Added), len(d.Changed), len(d.Deleted))
	}
	return "nothing has changed"
}

// namedLimit returns a limit as it is listed.
func namedLimit(name string) string {
	if name == "" {
		return "[defaults]"
	}
	return name
}

// readAll reads a file, or the stdin.
func readAll(file string, stdin io.Reader) (name string, data []byte, err error) {
	if file == "-" {
		data, err = io.ReadAll(stdin)
		return "stdin", data, err
	}
	data, err = os.ReadFile(file)
	return file, data, err
}
