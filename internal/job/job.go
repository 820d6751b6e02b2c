// Package job runs one command: it spawns it in a process group of its own, carries its output, passes signals on and
// reports how it ended. It knows no rates and no flags.
package job

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os/exec"
	"syscall"
	"time"
)

// Command is what is to be run.
type Command struct {
	Path string   // the file to execute; "" is where LookPath finds it
	Argv []string // with the name of the command first
	Env  []string // the whole environment, as NAME=value; nil is ours
	// Stdout and Stderr take the output. An *os.File is handed to the command itself; anything else is written to while
	// the command runs, by one goroutine each.
	Stdout, Stderr io.Writer
	// Started, when set, is called once: with nil when the command has begun, or with why it could not be.
	Started func(error)
}

// Outcome says how a command ended.
type Outcome struct {
	// StartErr is why the command could not be started; the other fields are then zero.
	StartErr error
	// OutputErr is why its output could not be carried.
	OutputErr error
	// ExitCode is the command's own, or 128+n if signal n ended it.
	ExitCode int
	// Signal that ended it, or 0.
	Signal     syscall.Signal
	Start, End time.Time
}

// OK reports whether the command ran and succeeded, and its output was carried.
func (o Outcome) OK() bool { return o.StartErr == nil && o.OutputErr == nil && o.ExitCode == 0 }

// A Runner runs a command to its end. When ctx ends it ends the command, and returns when it is gone.
type Runner func(ctx context.Context, c Command) Outcome

// Interrupt is the cause of a context that a signal has ended: the signal is passed on to the commands that run.
type Interrupt struct{ Signal syscall.Signal }

func (i *Interrupt) Error() string { return "interrupted by signal " + i.Signal.String() }

// Exec returns the Runner at the bottom of all others. When its context ends, a command gets the signal of the
// *Interrupt that is the cause, or SIGTERM, then what term says; when kill is closed, SIGKILL at once. Signals go to the
// whole process group, and are sent until no process of it is left.
func Exec(term TermSeq, kill <-chan struct{}) Runner {
	return func(ctx context.Context, c Command) Outcome { return run(ctx, c, term, kill) }
}

func run(ctx context.Context, c Command, term TermSeq, kill <-chan struct{}) Outcome {
	started := c.Started
	if started == nil {
		started = func(error) {}
	}
	stdout, err := newCarrier(c.Stdout)
	if err != nil {
		started(err)
		return Outcome{StartErr: err}
	}
	stderr, err := newCarrier(c.Stderr)
	if err != nil {
		stdout.abandon()
		started(err)
		return Outcome{StartErr: err}
	}
	path := c.Path
	if path == "" {
		if path, err = LookPath(c.Argv[0]); err != nil {
			stdout.abandon()
			stderr.abandon()
			started(err)
			return Outcome{StartErr: err}
		}
	}
	cmd := &exec.Cmd{Path: path, Args: c.Argv, Env: c.Env, Stdout: stdout.child(), Stderr: stderr.child(), SysProcAttr: ownGroup()}
	out := Outcome{Start: time.Now()}
	cmd, err = start(ctx, cmd)
	started(err)
	if err != nil {
		stdout.abandon()
		stderr.abandon()
		return Outcome{StartErr: err}
	}
	stdout.carry()
	stderr.carry()

	gone, told := make(chan struct{}), make(chan struct{})
	watched := context.AfterFunc(ctx, func() {
		defer close(told)
		term.end(ctx, cmd.Process.Pid, gone, kill)
	})
	_ = cmd.Wait() // how it ended is in ProcessState
	close(gone)
	if !watched() {
		<-told // the rest of its group is ended too
	}
	out.End = time.Now()
	out.OutputErr = errors.Join(stdout.finish(), stderr.finish())
	out.ExitCode, out.Signal = status(cmd.ProcessState)
	return out
}

const (
	startRetries = 50
	startPause   = 20 * time.Millisecond
)

// start starts the command and returns the one that has started. A file that the kernel does not know how to execute is
// a script, as for execvp(3); and a system that is short of processes for a moment is given a second.
func start(ctx context.Context, cmd *exec.Cmd) (*exec.Cmd, error) {
	err := cmd.Start()
	for i := 0; i < startRetries && errors.Is(err, syscall.EAGAIN); i++ {
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(startPause):
		}
		cmd = again(cmd)
		err = cmd.Start()
	}
	if errors.Is(err, syscall.ENOEXEC) {
		script := again(cmd)
		script.Path = "/bin/sh"
		script.Args = append([]string{"sh", cmd.Path}, cmd.Args[1:]...)
		cmd, err = script, script.Start()
	}
	return cmd, err
}

// again returns a command that can be started, like one whose start has failed.
func again(cmd *exec.Cmd) *exec.Cmd {
	return &exec.Cmd{Path: cmd.Path, Args: cmd.Args, Env: cmd.Env, Stdout: cmd.Stdout, Stderr: cmd.Stderr, SysProcAttr: cmd.SysProcAttr}
}

// NotFound reports whether a start failed because there is no such command.
func NotFound(err error) bool {
	return errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist)
}

// LookPath finds the file of a command as a shell does. A relative name with a slash is used as it is.
func LookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	if errors.Is(err, exec.ErrDot) {
		return path, nil // the user put "." into PATH
	}
	return path, err
}
