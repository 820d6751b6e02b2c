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

	"github.com/throttle-cli/throttle/internal/batch"
	"github.com/throttle-cli/throttle/internal/record"
	"github.com/throttle-cli/throttle/internal/shellline"
	"github.com/throttle-cli/throttle/internal/template"
)

// runOptions are those of the mode that runs lines which are commands.
type runOptions struct {
	pace paceOptions
	job  jobOptions
}

const runExample = `  throttle run --rate 20/s < commands.txt
  throttle run --every 2s --shell -j 4 first.sh second.sh`

func newRunCommand(std streams) *cobra.Command {
	o := &runOptions{}
	c := &cobra.Command{
		Use:   "run (--rate RATE | --every INTERVAL) [flags] [FILE]...",
		Short: "Run lines that are commands",
		Long: `Runs each line of the files, or of stdin, as a command. Words are split and
quoted as in a shell; blank lines and comments are skipped. What only a shell
can do, such as | > ; & $VAR, is an error without --shell.`,
		Example: runExample,
		RunE: func(c *cobra.Command, files []string) error {
			if wantsAll(c) {
				return c.Help()
			}
			if err := o.pace.apply(c.Context(), c.Flags(), std); err != nil {
				return err
			}
			return runCommands(c.Context(), o, files, std)
		},
	}
	addGroups(c,
		newGroup("Rate", o.pace.addFlags, func(f *pflag.FlagSet) { o.pace.addCostFlags(f, "") }, o.pace.addQueueFlags, o.pace.perLine.addFlags),
		newGroup("Jobs", func(f *pflag.FlagSet) {
			f.BoolVar(&o.job.shell, "shell", false, "each line is a script for sh -c")
		}, o.job.addJobFlags, o.job.leftover.addFlags),
		newGroup("Attempts", o.job.addRetryFlags),
		newGroup("Record", o.job.addHistoryFlags),
		newGroup("Output", o.job.addOutputFlags),
		newGroup("Messages", o.job.progress.addFlags, std.log.addFlags, addHelpAll),
	)
	showFirst(c, "rate", "every", "burst", "key", "limit", "shell", "jobs", "dry-run",
		"attempts", "preset", "adaptive", "timeout", "journal", "resume", "leftover", "keep-order", "tag", helpAll)
	return c
}

func runCommands(ctx context.Context, o *runOptions, files []string, std streams) error {
	inputs, err := inputsOf(files, std)
	if err != nil {
		return err
	}
	places, err := o.pace.placer(lineString, "", "a line that is a command has none, but --key-regexp finds a key in it")
	if err != nil {
		return err
	}
	in := inputOf{mode: "run", places: places, replace: lineString, tasks: commandMaker{shell: o.job.shell, files: files}, delim: '\n', inputs: inputs}
	return runBatch(ctx, &o.pace, &o.job, in, std)
}

// A commandMaker takes each line for a command.
type commandMaker struct {
	shell bool
	files []string
}

// precheck looks through files that can be read twice: it is better to hear of a bad line before the first command runs.
func (m commandMaker) precheck() error {
	for _, name := range m.files {
		info, err := os.Stat(name)
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		in, err := record.File(name)
		if err != nil {
			return err
		}
		r := record.NewReader('\n', in)
		for err == nil {
			_, err = m.make(func() (record.Record, error) { return r.Next(context.Background()) })
		}
		if !errors.Is(err, io.EOF) {
			return err
		}
	}
	return nil
}

func (m commandMaker) make(next func() (record.Record, error)) (batch.Task, error) {
	var skipped string
	for {
		r, err := next()
		if err != nil {
			return batch.Task{}, err
		}
		if err := noNUL(r, r.Text); err != nil {
			return batch.Task{}, err
		}
		words, err := shellline.Split(r.Text)
		if err == nil && len(words) == 0 {
			skipped += r.Raw
			continue
		}
		c := batch.Command{Argv: words, Tag: r.Text, Values: template.Values{Line: &r.Text, Args: []string{r.Text}}}
		if m.shell {
			c.Line = strings.TrimSuffix(r.Text, "\r")
			c.Argv = []string{"sh", "-c", c.Line}
		} else if err != nil {
			var at *shellline.Error
			if errors.As(err, &at) {
				return batch.Task{}, fmt.Errorf("%s, column %d: %s", r.Where(), at.Column, at.Text)
			}
			return batch.Task{}, fmt.Errorf("%s: %w", r.Where(), err)
		}
		return batch.Task{
			Name: r.Where(), Input: skipped + r.Raw, Content: r.Text,
			Command: func(int, int) batch.Command { return c },
		}, nil
	}
}
