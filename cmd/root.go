// Package cmd is the command line: it turns flags into options, calls the packages that do the work, and turns how that
// ended into an exit code.
package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/throttle-cli/throttle/internal/nearest"
)

// streams are what a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
	log      *logger // of what is said on err
	version  string  // of throttle
}

// Main runs the command line and returns the exit code of the process.
func Main(version string, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	log := newLogger(stderr)
	version = versionOf(version)
	root := newRootCommand(version, streams{stdin, stdout, stderr, log, version}, needed(args))
	root.SetArgs(append([]string{}, args...)) // never nil: cobra would read os.Args
	err := root.ExecuteContext(context.Background())
	var code exitCode
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	}
	log.expect(args) // an error in the flags may have come before the one that says how to write it
	log.fail(err.Error())
	return codeOf(err)
}

// NewRootCommand returns the command tree, for those that make documents of it.
func NewRootCommand() *cobra.Command {
	return newRootCommand("", streams{log: newLogger(io.Discard)}, func(string) bool { return true })
}

// A subcommand is one of throttle's.
type subcommand struct {
	name  string
	build func(streams) *cobra.Command
}

func subcommands() []subcommand {
	return []subcommand{
		{"run", newRunCommand},
		{"exec", newExecCommand},
		{"wait", newWaitCommand},
		{"try", newTryCommand},
		{"status", newStatusCommand},
		{"set", newSetCommand},
		{"reset", newResetCommand},
		{"limits", newLimitsCommand},
		{"store", newStoreCommand},
		{"presets", newPresetsCommand},
		{"completion", newCompletionCommand},
	}
}

// needed returns which commands a command line may be about, "" being the root. To make the flags of all of them would take
// longer than anything else at the start.
func needed(args []string) func(name string) bool {
	if len(args) > 0 && slices.ContainsFunc(subcommands(), func(s subcommand) bool { return s.name == args[0] && s.name != "completion" }) {
		return func(name string) bool { return name == args[0] }
	}
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") { // help, completions, or a mistake
		return func(string) bool { return true }
	}
	if dash := slices.Index(args, "--"); dash >= 0 {
		args = args[:dash]
	}
	return func(name string) bool { return name == "" || slices.Contains(args, name) }
}

func versionOf(version string) string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "unknown"
}

const example = `  producer | throttle --rate 50/s | consumer           pass lines on, 50 a second
  cat ids | throttle --every 100ms -- aws ... --id {}  run a command for each line
  throttle run --rate 20/s < commands.txt              run lines that are commands
  throttle exec --key ec2 --rate 20/s -- aws ...       one rate for many processes`

// rootOptions are those of the two modes that have no name of their own: with a command after -- it is run for each
// line, without one the lines are passed on.
type rootOptions struct {
	version bool
	pace    paceOptions
	input   inputOptions
	lines   lineOptions
}

// newRootCommand returns the command tree, in which those commands are complete that are needed; of the others there is the
// name.
func newRootCommand(version string, std streams, needed func(name string) bool) *cobra.Command {
	o := &rootOptions{}
	o.lines.pace, o.lines.input = &o.pace, &o.input
	root := &cobra.Command{
		Use:               "throttle (--rate RATE | --every INTERVAL) [flags] [-- COMMAND [ARG]...]",
		Short:             "Make shell work respect a rate",
		Long:              "throttle passes its input through, or runs commands, at a rate: never early, without drift, without losing a byte.",
		Example:           example,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},

		Args: commandAfterDash,
		RunE: func(c *cobra.Command, command []string) error {
			if wantsAll(c) {
				return c.Help()
			}
			if o.version {
				_, err := fmt.Fprintf(std.out, "throttle %s\n", version)
				return err
			}
			if err := o.pace.apply(c.Context(), c.Flags(), std); err != nil {
				return err
			}
			return o.run(c.Context(), c.Flags(), command, std)
		},
	}
	root.SetIn(std.in)
	root.SetOut(std.out)
	root.SetErr(std.err)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		var value *pflag.InvalidValueError
		if errors.As(err, &value) {
			err = fmt.Errorf("--%s %q: %w", value.GetFlag().Name, value.GetValue(), valueError(value))
		}
		return fmt.Errorf("%w\nsee %s --help", err, c.CommandPath())
	})
	// A flag set in the environment is like one that was given, in every command.
	root.PersistentPreRunE = func(c *cobra.Command, _ []string) error {
		return fromEnvironment(c.Flags(), os.LookupEnv)
	}
	for _, s := range subcommands() {
		if needed(s.name) {
			root.AddCommand(s.build(std))
		} else {
			root.AddCommand(&cobra.Command{Use: s.name, Hidden: s.name == "completion", Run: func(*cobra.Command, []string) {}})
		}
	}
	if !needed("") {
		return root
	}
	addGroups(root,
		newGroup("Rate", o.pace.addFlags, func(f *pflag.FlagSet) { o.pace.addCostFlags(f, "") }, o.pace.perLine.addFlags),
		newGroup("Input", o.input.addFlags, o.lines.job.leftover.addFlags),
		newGroup("Command", o.lines.addFlags, o.lines.job.addJobFlags, o.pace.addQueueFlags).forCommands(),
		newGroup("Attempts", o.lines.job.addRetryFlags).forCommands(),
		newGroup("Record", o.lines.job.addHistoryFlags).forCommands(),
		newGroup("Output of commands", o.lines.job.addOutputFlags, o.lines.job.progress.addFlags).forCommands(),
		newGroup("Other", std.log.addFlags, func(f *pflag.FlagSet) {
			f.BoolVar(&o.version, "version", false, "print the version")
			f.BoolP("help", "h", false, "print this")
			addHelpAll(f)
		}),
	)
	showFirst(root, "rate", "every", "burst", "key", "store", "limit",
		"arg-file", "null", "colsep", "shell", "jobs", "dry-run",
		"attempts", "preset", "timeout", "journal", "resume", "leftover",
		"keep-order", "tag", "version", "help", helpAll)
	return root
}

// valueError says what is wrong with the value of a flag.
func valueError(v *pflag.InvalidValueError) error {
	switch v.GetFlag().Value.Type() {
	case "bool":
		return errors.New("it is true or false")
	case "int":
		if errors.Is(v, strconv.ErrRange) {
			return errors.New("it is too large")
		}
		return errors.New("it is a whole number")
	}
	return v.Unwrap()
}

// noArguments accepts none.
func noArguments(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("unexpected argument %q\nsee %s --help", args[0], c.CommandPath())
	}
	return nil
}

// commandAfterDash accepts arguments after -- only: there a typo in the name of a subcommand can't be taken for a
// command.
func commandAfterDash(c *cobra.Command, args []string) error {
	if len(args) == 0 || c.ArgsLenAtDash() == 0 {
		return nil
	}
	if similar := nearest.Of(args[0], namesOf(c)); similar != "" {
		return fmt.Errorf("unknown command %q: did you mean %q?\nsee throttle --help", args[0], similar)
	}
	return fmt.Errorf("unexpected argument %q: a command for each line stands after --, as in: throttle --rate 5/s -- %s\nsee throttle --help", args[0], args[0])
}

func (o *rootOptions) run(ctx context.Context, flags *pflag.FlagSet, command []string, std streams) error {
	if len(command) > 0 {
		return runLines(ctx, &o.lines, command, std)
	}
	if flags.ArgsLenAtDash() == 0 {
		return errors.New("no command stands after --")
	}
	places, err := o.pace.placer(o.lines.replace, o.lines.colsep, sayColsep)
	flags.Visit(func(f *pflag.Flag) {
		if places != nil && places.replaces() && (f.Name == "replace" || f.Name == "colsep") {
			return
		}
		if err == nil && f.Annotations[needsCommand] != nil && givenHere(flags, f.Name) {
			err = fmt.Errorf("--%s is for a command, and none stands after --", f.Name)
		}
	})
	if err != nil {
		return err
	}
	o.pace.maxQueue, o.pace.patient = anyQueue, true // it may be of the environment, or a file: a pipe asks ahead
	return runPipe(ctx, &pipeOptions{pace: o.pace, places: places, input: o.input, leftover: o.lines.job.leftover}, std)
}
