package cmd

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/throttle-cli/throttle/internal/batch"
	"github.com/throttle-cli/throttle/internal/feedback"
	"github.com/throttle-cli/throttle/internal/job"
	"github.com/throttle-cli/throttle/internal/store"
)

// A supervisor runs the command of exec, and stays to see how it ends.
type supervisor struct {
	*execOptions
	react   *reaction
	path    string
	command []string
	run     job.Runner
	signals *relay
	std     streams
}

// supervise runs the command, again as far as the flags say so.
func (o *execOptions) supervise(ctx context.Context, path string, command []string, react *reaction, std streams) error {
	term, err := job.ParseTermSeq(o.termSeq)
	if err != nil {
		return fmt.Errorf("--term-seq: %w", err)
	}
	k, err := o.open(ctx, std)
	if err != nil {
		return err
	}
	s := &supervisor{execOptions: o, react: react, path: path, command: react.command(command), run: job.Exec(term, nil), signals: newRelay(), std: std}
	defer s.signals.stop()
	err = s.attempts(ctx, k)
	_ = k.Close() // what it holds is given back by our end too
	return err
}

// attempts runs the command until it is not to be run again, and returns its exit code.
func (s *supervisor) attempts(ctx context.Context, k store.Key) error {
	for attempts, throttled := 0, 0; ; {
		waiting, stop := s.signals.waiting(ctx)
		g, err := s.ask(waiting, k)
		stop()
		switch {
		case err != nil:
			return interrupted(err)
		case !g.Granted:
			return s.refused(g, s.std)
		}
		a, err := s.attempt(g, attempts+throttled+1)
		if err != nil {
			return err
		}
		if a.Verdict.Kind == feedback.Throttled {
			throttled++
			told := grantOf{s.pacing(), g.r}
			if err := told.Throttled(a); err != nil {
				return err
			}
		} else {
			attempts++
		}
		in, again := s.react.Again(attempts, throttled, a.Verdict)
		if !again || a.Interrupted {
			return s.outcome(a)
		}
		if a.Verdict.Kind == feedback.Retry {
			why := cmp.Or(a.Verdict.Why, ending(a.Outcome))
			s.std.log.note(fmt.Sprintf("attempt %d: %s; again in %v", a.N, why, round(in)), "attempt", a.N, "exit", a.Outcome.ExitCode, "again_in", in.Seconds())
		}
		if err := s.sleep(ctx, in); err != nil {
			return interrupted(err)
		}
	}
}

// outcome returns the exit code of the last attempt. One that met a condition has failed, as a job has, whatever its own is.
func (s *supervisor) outcome(a *batch.Attempt) error {
	if a.Outcome.ExitCode != 0 || a.Verdict.Kind == feedback.Succeeded {
		return exitCode(a.Outcome.ExitCode)
	}
	name, with := called(a)
	s.std.log.fail(fmt.Sprintf("%s ended with exit code 0, and has failed: %s", name, a.Verdict.Why), append(with, "attempt", a.N, "why", a.Verdict.Why)...)
	return exitCode(codeSomeFailed)
}

// attempt runs the command once.
func (s *supervisor) attempt(g grant, n int) (*batch.Attempt, error) {
	c := job.Command{
		Path: s.path, Argv: s.command, Stdout: s.std.out, Stderr: s.std.err, Timeout: s.retry.timeout,
		Env:        append(with(environ(g.Key, s.pace.store.env()), s.react.preset.Env), "THROTTLE_SEQ=1", "THROTTLE_SLOT=1", "THROTTLE_ATTEMPT="+strconv.Itoa(n)),
		Foreground: onTerminal(),
	}
	if stdin, ok := s.std.in.(*os.File); ok {
		c.Stdin = stdin
	}
	signals, stop := s.signals.running(c.Foreground)
	defer stop()
	c.Signals = signals
	w, err := s.react.Watch(&c)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	a := &batch.Attempt{Task: batch.Task{Name: s.command[0]}, N: n, Waited: g.Waited}
	a.Outcome = s.run(context.Background(), c)
	if err := a.Outcome.StartErr; err != nil {
		return nil, &batch.StartError{Name: s.command[0], Err: err}
	}
	if err := a.Outcome.OutputErr; err != nil {
		if isEPIPE(err) {
			return nil, exitCode(codeSignal + int(syscall.SIGPIPE))
		}
		return nil, fmt.Errorf("output: %w", err)
	}
	a.Verdict = s.react.Judge(a.Outcome, w)
	a.Interrupted = s.signals.passed()
	return a, nil
}

// sleep waits before another attempt.
func (s *supervisor) sleep(ctx context.Context, d time.Duration) error {
	waiting, stop := s.signals.waiting(ctx)
	defer stop()
	select {
	case <-time.After(d):
		return nil
	case <-waiting.Done():
		return context.Cause(waiting)
	}
}

// pacing returns what is told that an attempt was throttled.
func (s *supervisor) pacing() *pace {
	p := &pace{key: s.pace.key}
	p.react(s.react.feedback, s.std.log)
	return p
}

// A relay takes the signals for us: while the command runs they are the command's, else they end the wait.
type relay struct {
	caught chan os.Signal
	told   atomic.Bool // whether one of them was the command's, and asked it to end
}

func newRelay() *relay {
	r := &relay{caught: make(chan os.Signal, 16)}
	var wanted []os.Signal
	for _, s := range relayed() {
		if !signal.Ignored(s) {
			wanted = append(wanted, s)
		}
	}
	signal.Notify(r.caught, wanted...)
	return r
}

func (r *relay) stop() { signal.Stop(r.caught) }

// waiting returns a context that a signal ends.
func (r *relay) waiting(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	done, finished := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(finished)
		for {
			select {
			case s := <-r.caught:
				if sig, ok := s.(syscall.Signal); ok && ends(sig) {
					cancel(&job.Interrupt{Signal: sig})
				}
			case <-done:
				return
			}
		}
	}()
	return ctx, func() {
		close(done)
		<-finished
		cancel(nil)
	}
}

// running returns the signals for a command that runs. One that is on our terminal gets those of the keyboard by itself.
func (r *relay) running(onTerminal bool) (<-chan os.Signal, func()) {
	signals := make(chan os.Signal)
	done, finished := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(finished)
		for {
			select {
			case s := <-r.caught:
				sig, _ := s.(syscall.Signal)
				if ends(sig) {
					r.told.Store(true)
				}
				if onTerminal && (sig == syscall.SIGINT || sig == syscall.SIGQUIT) {
					continue
				}
				select {
				case signals <- s:
				case <-done:
					return
				}
			case <-done:
				return
			}
		}
	}()
	return signals, func() {
		close(done)
		<-finished
	}
}

// passed reports whether the command was told to end.
func (r *relay) passed() bool { return r.told.Load() }

// ends reports whether a signal is one that asks to end.
func ends(s syscall.Signal) bool {
	switch s {
	case syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT:
		return true
	default:
		return false
	}
}
