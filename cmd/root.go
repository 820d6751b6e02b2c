// Package cmd is the command line: it turns flags into options, calls the packages that do the work, and turns how that
// ended into an exit code.
package cmd

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// streams are what a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// Main runs the command line and returns the exit code of the process.
func Main(version string, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRootCommand(versionOf(version), streams{stdin, stdout, stderr})
	root.SetArgs(append([]string{}, args...)) // never nil: cobra would read os.Args
	err := root.Execute()
	var code exitCode
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	}
	fmt.Fprintf(stderr, "throttle: %v\n", err) //nolint:errcheck // there is nobody left to tell
	return codeFailed
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

const example = `  producer | throttle --rate 50/s | consumer        50 lines a second, the first at once
  tail -f log | throttle --every 200ms              a line every 200 ms
  throttle --rate 1MiB/s < dump > /mnt/slow/dump    bytes instead of lines`

func newRootCommand(version string, std streams) *cobra.Command {
	o := pipeOptions{}
	root := &cobra.Command{
		Use:           "throttle (--rate RATE | --every INTERVAL) [flags]",
		Short:         "Make shell work respect a rate",
		Long:          "throttle passes its input through, unchanged, at a rate: never early, without drift, without losing a byte.",
		Example:       example,
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("unknown argument %q\nthrottle takes flags only; see throttle --help", args[0])
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error {
			if err := fromEnvironment(c.Flags(), os.LookupEnv); err != nil {
				return err
			}
			return runPipe(c.Context(), o, std)
		},
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.SetIn(std.in)
	root.SetOut(std.out)
	root.SetErr(std.err)
	root.SetVersionTemplate("throttle {{.Version}}\n")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return fmt.Errorf("%w\nsee throttle --help", err)
	})
	o.addFlags(root.Flags())
	return root
}
