// Package job runs one command: it spawns it in a process group of its own, carries its output, passes signals on and
// reports how it ended. It knows no rates and no flags.
package job

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Command is what is to be run.
type Command struct {
	Path string   // the file to execute; "" is where LookPath finds it
	Argv []string // with the name of the command first
	Env  []string // the whole environment, as NAME=value, each name once; nil is ours
	// Stdout and Stderr take the output. An *os.File is handed to the command itself; anything else is written to while
	// the command runs, by one goroutine each.
	Stdout, Stderr io.Writer
	// Extra are further files of the command, from descriptor 3 on.
	Extra []*os.File
	// Timeout, when it is not 0, is how long the command may run before it is ended.
	Timeout time.Duration
	// Foreground, when set, leaves the command in the process group and on the terminal that we are in, with Stdin as its
	// standard input. It is then ended alone, without what it has started.
	Foreground bool
	Stdin      *os.File
	// Signals, when set, are passed on to the command as they come.
	Signals <-chan os.Signal
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
	Signal syscall.Signal
	// TimedOut is whether it was ended since its Timeout was over, and did not succeed nevertheless. ExitCode is then
	// CodeTimedOut.
	TimedOut   bool
	Timeout    time.Duration // that of the command
	Start, End time.Time     // with the time that it took to end it
}

// CodeTimedOut is the exit code of a command that has timed out, as of timeout(1).
const CodeTimedOut = 124

// A Runner runs a command to its end. When ctx ends it ends the command, and returns when it is gone.
type Runner func(ctx context.Context, c Command) Outcome

// Interrupt is the cause of a context that a signal has ended: the signal is passed on to the commands that run.
type Interrupt struct{ Signal syscall.Signal }

func (i *Interrupt) Error() string { return "interrupted by " + signalName(i.Signal) }

// Exec returns the Runner at the bottom of all others. When its context ends, a command gets the signal of the
// *Interrupt that is the cause, or SIGTERM, then what term says; when kill is closed, SIGKILL at once. Signals go to the
// whole process group, and are sent until no process of it is left.
func Exec(term TermSeq, kill <-chan struct{}) Runner {
	e := &executor{term: term, kill: kill, stdin: sync.OnceValues(func() (*os.File, error) { return os.Open(os.DevNull) })}
	e.buffers.New = func() any { b := make([]byte, restSize); return &b }
	return e.run
}

// An executor is what the commands of a Runner have in common.
type executor struct {
	term  TermSeq
	kill  <-chan struct{}
	stdin func() (*os.File, error)
	// buffers are what finish needs: jobs are many, and some end together.
	buffers sync.Pool
}

func (e *executor) run(ctx context.Context, c Command) Outcome {
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
	out := Outcome{Timeout: c.Timeout, Start: time.Now()}
	p, err := e.start(ctx, c, stdout.child(), stderr.child())
	started(err)
	if err != nil {
		stdout.abandon()
		stderr.abandon()
		return Outcome{StartErr: err}
	}
	stdout.started()
	stderr.started()
	begun := make(chan struct{})
	soon := time.AfterFunc(quick, func() {
		defer close(begun)
		stdout.carry()
		stderr.carry()
	})

	gone, told := make(chan struct{}), make(chan struct{})
	target := target{pid: p.Pid, alone: c.Foreground}
	if c.Timeout > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, c.Timeout, errTimedOut)
		defer stop()
	}
	watched := context.AfterFunc(ctx, func() {
		defer close(told)
		e.term.end(ctx, target, gone, e.kill)
	})
	if c.Signals != nil {
		go target.pass(c.Signals, gone)
	}
	state, waitErr := p.Wait()
	close(gone)
	if !watched() {
		<-told // the rest of its group is ended too
	}
	out.End = time.Now()
	if !soon.Stop() {
		<-begun
	}
	if waitErr != nil {
		out.ExitCode = -1
		out.OutputErr = waitErr
	} else {
		out.ExitCode, out.Signal = status(state)
	}
	if out.ExitCode != 0 && errors.Is(context.Cause(ctx), errTimedOut) {
		out.TimedOut, out.ExitCode = true, CodeTimedOut
	}
	buf := e.buffers.Get().(*[]byte) //nolint:forcetypeassert // nothing else is in there
	outErr, errErr := stdout.finish(*buf), stderr.finish(*buf)
	e.buffers.Put(buf)
	out.OutputErr = cmp.Or(out.OutputErr, outErr, errErr)
	return out
}

// errTimedOut is the cause of the end of a command's context when it has run for too long.
var errTimedOut = errors.New("timed out")

// quick is how long a command may run before its output is copied while it runs. Most of those that are run by the
// thousand are done by then, and what they have written is still in their pipes.
const quick = 2 * time.Millisecond

const (
	startRetries = 50
	startPause   = 20 * time.Millisecond
)

// start starts the command. A file that the kernel does not know how to execute is a script, as for execvp(3); and a
// system that is short of processes for a moment is given a second.
func (e *executor) start(ctx context.Context, c Command, stdout, stderr *os.File) (*os.Process, error) {
	stdin, err := c.Stdin, error(nil)
	if stdin == nil {
		stdin, err = e.stdin()
	}
	if err != nil {
		return nil, err
	}
	path := c.Path
	if path == "" {
		if path, err = LookPath(c.Argv[0]); err != nil {
			return nil, err
		}
	}
	attr := &os.ProcAttr{Env: c.Env, Files: append([]*os.File{stdin, stdout, stderr}, c.Extra...), Sys: sys(!c.Foreground)}
	p, err := os.StartProcess(path, c.Argv, attr)
	for i := 0; i < startRetries && errors.Is(err, syscall.EAGAIN); i++ {
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(startPause):
		}
		p, err = os.StartProcess(path, c.Argv, attr)
	}
	if errors.Is(err, syscall.ENOEXEC) {
		p, err = os.StartProcess("/bin/sh", append([]string{"sh", path}, c.Argv[1:]...), attr)
	}
	return p, err
}

// NotFound reports whether a start failed because there is no such command.
func NotFound(err error) bool {
	return errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist)
}

// Short reports whether a start failed for want of something, or because the arguments are too long, and not for the
// command.
func Short(err error) bool {
	for _, short := range []error{syscall.E2BIG, syscall.EAGAIN, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM} {
		if errors.Is(err, short) {
			return true
		}
	}
	return false
}

// LookPath finds the file of a command as a shell does. A relative name with a slash is used as it is.
func LookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	if errors.Is(err, exec.ErrDot) {
		return path, nil // the user put "." into PATH
	}
	return path, err
}
