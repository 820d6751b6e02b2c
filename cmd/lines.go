package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"strings"

	"github.com/spf13/pflag"

	"github.com/throttle-cli/throttle/internal/batch"
	"github.com/throttle-cli/throttle/internal/job"
	"github.com/throttle-cli/throttle/internal/record"
	"github.com/throttle-cli/throttle/internal/template"
)

// lineOptions are those of the mode that runs a command for each line.
type lineOptions struct {
	pace    *paceOptions
	input   *inputOptions
	job     jobOptions
	replace string
	colsep  string
	maxArgs int
}

func (o *lineOptions) addFlags(f *pflag.FlagSet) {
	f.StringVarP(&o.replace, "replace", "I", lineString, "`STR` stands for the line, instead of {}")
	f.StringVarP(&o.colsep, "colsep", "C", "", "split the line at each match of `REGEXP`: {1} {2} {-1}")
	f.IntVarP(&o.maxArgs, "max-args", "n", 1, "`N` lines for each command: {1} {2}, or {} for all")
	f.BoolVar(&o.job.shell, "shell", false, "COMMAND is a script for sh -c, the line its \"$1\"")
}

func runLines(ctx context.Context, o *lineOptions, command []string, std streams) error {
	delim, err := o.input.delim()
	if err != nil {
		return err
	}
	tasks, err := o.maker(command)
	if err != nil {
		return err
	}
	inputs, err := o.input.inputs(std)
	if err != nil {
		return err
	}
	places, err := o.pace.placer(o.replace, o.colsep, sayColsep)
	if err != nil {
		return err
	}
	in := inputOf{mode: "lines", places: places, command: command, replace: o.replace, tasks: tasks, delim: delim, each: o.maxArgs, inputs: inputs}
	return runBatch(ctx, o.pace, &o.job, in, std)
}

// sayColsep is what to do about a column where a line has none.
const sayColsep = "say with --colsep where a line is split"

// maker checks the flags that say what becomes of a line.
func (o *lineOptions) maker(command []string) (*lineMaker, error) {
	m := &lineMaker{n: o.maxArgs}
	switch {
	case o.maxArgs < 1:
		return nil, fmt.Errorf("--max-args %d: it is 1 or more", o.maxArgs)
	case o.maxArgs > 1 && o.colsep != "":
		return nil, errConflict("--max-args", "--colsep")
	case o.replace == "":
		return nil, errors.New("--replace \"\": nothing can't stand for the line")
	}
	if o.colsep != "" {
		re, err := regexp.Compile(o.colsep)
		if err != nil {
			return nil, fmt.Errorf("--colsep %q: %w", o.colsep, err)
		}
		m.colsep = re
	}
	words := command
	if o.job.shell {
		// Text of the input must not become text of the script.
		if found, ok := template.Used(command[0], o.replace); ok && o.replace == lineString {
			return nil, fmt.Errorf("%s in the script of --shell is not replaced: write \"$1\" for the line; with -I STR, %s is left alone", found, found)
		}
		m.prefix = []string{"sh", "-c", command[0], "sh"}
		words = command[1:]
	}
	m.template = template.Parse(words, o.replace)
	if found, ok := scriptOfShell(command, o.replace); ok && !o.job.shell {
		return nil, fmt.Errorf("%s in a script for %s would be run as a part of it, whatever the line says: use --shell -- '... \"$1\" ...', which passes the line as an argument", found, command[0])
	}
	switch highest := max(m.template.First, m.template.Last); {
	case highest > 1 && o.colsep == "" && o.maxArgs == 1:
		return nil, fmt.Errorf("the command has a column {%d}: say with --colsep where a line is split, or --max-args %d for that many lines", highest, highest)
	case highest > o.maxArgs && o.maxArgs > 1:
		return nil, fmt.Errorf("the command has {%d} and takes %d lines: --max-args %d", highest, o.maxArgs, highest)
	}
	if first := append(m.prefix, words...); len(first) > 0 {
		if _, ok := template.Used(first[0], o.replace); !ok {
			m.name = first[0]
		}
	}
	return m, nil
}

// A lineMaker makes a command of each line, or of each n lines.
type lineMaker struct {
	template *template.Template
	prefix   []string // words that come first and have no replacement strings
	colsep   *regexp.Regexp
	n        int
	name     string // of the command, where it is the same for every line
	path     string // where that is
}

// precheck looks for the command before anything is read.
func (m *lineMaker) precheck() error {
	if m.name == "" || m.path != "" {
		return nil
	}
	path, err := job.LookPath(m.name)
	if err != nil {
		return &batch.StartError{Name: m.name, Err: err}
	}
	m.path = path
	return nil
}

func (m *lineMaker) make(next func() (record.Record, error)) (batch.Task, error) {
	first, err := next()
	if err != nil {
		return batch.Task{}, err
	}
	task := batch.Task{Name: first.Where(), Input: first.Raw, Content: first.Text}
	args := []string{first.Text}
	for len(args) < m.n {
		r, err := next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return batch.Task{}, err
		}
		args = append(args, r.Text)
		task.Input += r.Raw
		task.Content += "\x00" + r.Text
	}
	values := template.Values{Args: args}
	if m.n == 1 {
		values.Line = &first.Text
	}
	if m.colsep != nil {
		values.Args = m.colsep.Split(first.Text, -1)
	}
	if err := m.template.Check(len(values.Args)); err != nil {
		return batch.Task{}, fmt.Errorf("%s, %.60q: %w", task.Name, first.Text, err)
	}
	if err := noNUL(first, args...); err != nil {
		return batch.Task{}, err
	}
	tag := strings.Join(values.Args, " ")
	task.Command = func(seq, slot int) batch.Command {
		v := values
		v.Seq, v.Slot = seq, slot
		argv := append(m.prefix[:len(m.prefix):len(m.prefix)], m.template.Expand(v)...)
		return batch.Command{Path: m.path, Argv: argv, Tag: tag, Values: values}
	}
	return task, nil
}

// noNUL returns an error if one of the arguments that were made of a record has a byte that an argument can't have.
func noNUL(r record.Record, args ...string) error {
	for _, a := range args {
		if strings.IndexByte(a, 0) >= 0 {
			return fmt.Errorf("%s, %.60q: an argument can't have a NUL byte; with -0 lines end with one", r.Where(), a)
		}
	}
	return nil
}

// scriptOfShell returns the first part of the input that a command puts into the script of a shell: sh -c 'echo {}'.
func scriptOfShell(words []string, replace string) (found string, ok bool) {
	switch path.Base(words[0]) {
	case "sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "fish":
	default:
		return "", false
	}
	for i, w := range words[1:] {
		if !strings.HasPrefix(w, "-") {
			return "", false
		}
		if !strings.HasPrefix(w, "--") && strings.Contains(w, "c") && i+2 < len(words) {
			return template.Input(words[i+2], replace)
		}
	}
	return "", false
}
