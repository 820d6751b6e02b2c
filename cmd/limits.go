package cmd

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/throttle-cli/throttle/internal/byname"
	"github.com/throttle-cli/throttle/internal/config"
	"github.com/throttle-cli/throttle/internal/nearest"
)

func newLimitsCommand(std streams) *cobra.Command {
	c := &cobra.Command{
		Use:   "limits COMMAND",
		Short: "Show, check and change the limits in throttle.toml",
		Long: `Limits have names in ./throttle.toml and in throttle/throttle.toml of
$XDG_CONFIG_HOME, else of ~/.config; the nearer file goes first. A call goes by
one with --limit NAME, and by what an account has instead with --account NAME. A
store may have limits for all hosts, which go before those in files.`,
		Example: `  throttle limits list
  throttle limits show ec2 --account 1234      what holds, and which line says so
  throttle limits check                        for CI: exit code 1 if a file is wrong
  throttle limits set ec2 --account 1234 rate 5/s`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fmt.Errorf("say what to do with them: %s\nsee %s --help", oneOf(namesOf(c)), c.CommandPath())
			}
			hint := ""
			if similar := nearest.Of(args[0], namesOf(c)); similar != "" {
				hint = fmt.Sprintf(": did you mean %q?", similar)
			}
			return fmt.Errorf("unknown command %q of limits%s\nthere are %s", args[0], hint, strings.Join(namesOf(c), ", "))
		},
		DisableFlagsInUseLine: true,
	}
	c.AddCommand(newLimitsListCommand(std), newLimitsShowCommand(std), newLimitsCheckCommand(std), newLimitsSetCommand(std), newLimitsUnsetCommand(std), newLimitsLoadCommand(std))
	addGroups(c)
	return c
}

// namesOf returns the names of the commands of a command.
func namesOf(c *cobra.Command) []string {
	var names []string
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	return names
}

func newLimitsListCommand(std streams) *cobra.Command {
	o, asJSON := &configOptions{store: &storeOptions{}, table: &limitsTable{}}, false
	c := &cobra.Command{
		Use:   "list [flags]",
		Short: "List the limits",
		Long: `Lists the limits: name, rate, how many accounts have their own, and where it is.
With a store those that it has for all hosts come first.`,
		Example: `  throttle limits list
  throttle limits list --json | jq -r '.[].name'`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.load(std.log)
			if err == nil {
				o.store.url = o.storeURL(c, cmd.Flags())
				o.table.forget(o.store.url) // what holds now is asked for
				c, err = o.with(cmd.Context(), c, *o.store, std.log)
			}
			switch {
			case err != nil:
				return err
			case asJSON:
				return c.WriteListJSON(std.out)
			case len(c.Limits()) == 0:
				std.log.note("there are no limits: they would be in " + oneOf(o.files()))
			}
			return c.WriteList(std.out)
		},
	}
	addGroups(c, newGroup("Flags", func(f *pflag.FlagSet) { f.BoolVar(&asJSON, "json", false, "print JSON") }, o.addFileFlag, o.store.addURLFlag))
	return c
}

func newLimitsCheckCommand(std streams) *cobra.Command {
	o, asJSON := &configOptions{}, false
	c := &cobra.Command{
		Use:   "check [flags] [FILE]...",
		Short: "Say what is wrong with files",
		Long: `Reads files, or those that a call would read, and prints all that is wrong with
them, each with line and column; exit code 1 then. Each limit and account is also
looked up as a call without flags would. For a file in which all is right it prints
what it has.`,
		Example: `  throttle limits check
  throttle limits check deploy/throttle.toml`,
		RunE: func(c *cobra.Command, files []string) error {
			if o.file != "" && (len(files) == 0 || givenHere(c.Flags(), "config")) { // the environment names one for those who name none
				files = append(files, o.file)
			}
			return runLimitsCheck(files, asJSON, std)
		},
	}
	addGroups(c, newGroup("Flags", func(f *pflag.FlagSet) { f.BoolVar(&asJSON, "json", false, "print what is wrong as JSON") }, o.addFileFlag))
	return c
}

func runLimitsCheck(files []string, asJSON bool, std streams) error {
	if len(files) == 0 {
		files = []string{""} // the usual ones, as they are in force together
	}
	wrong := []error{}
	var unread error
	var right strings.Builder
	for _, file := range files {
		o := configOptions{file: file}
		c, err := o.load(std.log)
		var problems config.Errors
		switch {
		case errors.As(err, &problems):
			wrong = append(wrong, problems...)
			continue
		case err != nil: // the others are told of all the same
			unread = errors.Join(unread, err)
			continue
		case len(c.Files()) == 0:
			return fmt.Errorf("there is no file to check: neither %s", strings.Join(o.files(), " nor "))
		}
		problems = byname.Problems(c)
		wrong = append(wrong, problems...)
		if len(problems) == 0 {
			accounts := 0
			for _, name := range c.Limits() {
				accounts += len(c.Accounts(name))
			}
			fmt.Fprintf(&right, "%s: %s, %s\n", strings.Join(c.Files(), " and "), plural(len(c.Limits()), "limit"), plural(accounts, "account"))
		}
	}
	var err error
	if asJSON {
		err = writeProblems(std.out, wrong)
	} else {
		for _, problem := range wrong {
			right.WriteString(problem.Error() + "\n")
		}
		_, err = io.WriteString(std.out, right.String())
	}
	if err = errors.Join(unread, err); err == nil && len(wrong) > 0 {
		return exitCode(codeWrongFile)
	}
	return err
}

func writeProblems(w io.Writer, wrong []error) error {
	type problem struct {
		File   string `json:"file,omitempty"`
		Line   int    `json:"line,omitempty"`
		Column int    `json:"column,omitempty"`
		Text   string `json:"text"`
	}
	out := make([]problem, len(wrong))
	for i, err := range wrong {
		out[i].Text = err.Error()
		var at *config.Error
		if errors.As(err, &at) {
			out[i] = problem{at.File, at.Line, at.Column, at.Text}
		}
	}
	return writeJSON(w, out)
}

// completeLimits completes the names of limits.
func completeLimits(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	file := ""
	if f := c.Flags().Lookup("config"); f != nil {
		file = f.Value.String()
	}
	known, err := byname.Load(file)
	if err != nil { // nobody wants to hear of it in the middle of a line
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return known.Limits(), cobra.ShellCompDirectiveNoFileComp
}

// files returns the files that are read, whether or not they are there.
func (o *configOptions) files() []string {
	if o.file != "" {
		return []string{o.file}
	}
	return config.Paths(os.Getenv)
}
