//go:build unix

package job_test

import (
	"bytes"
	"context"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/throttle-cli/throttle/internal/job"
)

func runner(t *testing.T, seq string) job.Runner {
	t.Helper()
	term, err := job.ParseTermSeq(seq)
	if err != nil {
		t.Fatal(err)
	}
	return job.Exec(term, nil)
}

func sh(script string, out, err *bytes.Buffer) job.Command {
	return job.Command{Path: "/bin/sh", Argv: []string{"sh", "-c", script}, Stdout: out, Stderr: err}
}

func TestOutputExitCodeAndSignal(t *testing.T) {
	run := runner(t, job.DefaultTermSeq)
	var out, err bytes.Buffer
	o := run(t.Context(), sh("cat; echo out; echo err >&2; exit 7", &out, &err))
	if o.ExitCode != 7 || out.String() != "out\n" || err.String() != "err\n" {
		t.Errorf("%+v, stdout %q, stderr %q", o, out.String(), err.String())
	}
	if o := run(t.Context(), sh("kill -KILL $$", &out, &err)); o.ExitCode != 137 || o.Signal != syscall.SIGKILL {
		t.Errorf("%+v", o)
	}
	if o := run(t.Context(), job.Command{Path: "/nosuch", Argv: []string{"nosuch"}, Stdout: &out, Stderr: &err}); !job.NotFound(o.StartErr) {
		t.Errorf("%+v", o)
	}
}

func TestAProcessLeftBehindDoesNotHoldTheJob(t *testing.T) {
	var out, err bytes.Buffer
	start := time.Now()
	o := runner(t, job.DefaultTermSeq)(t.Context(), sh("echo done; sleep 30 & echo $!", &out, &err))
	if o.StartErr != nil || o.OutputErr != nil || o.ExitCode != 0 || !bytes.HasPrefix(out.Bytes(), []byte("done\n")) {
		t.Errorf("%+v, %q", o, out.String())
	}
	if time.Since(start) > 20*time.Second {
		t.Error("the job waited for the process that it left behind")
	}
}

// What is left behind may write more than is taken, and never stop.
func TestAProcessLeftBehindThatWritesDoesNotHoldTheJob(t *testing.T) {
	for _, script := range []string{"yes & echo $! >&2; exit 0", "yes & echo $! >&2; sleep 0.1"} {
		var err bytes.Buffer
		c := sh(script, nil, &err)
		c.Stdout = sluggish{}
		done := make(chan job.Outcome, 1)
		go func() { done <- runner(t, job.DefaultTermSeq)(t.Context(), c) }()
		select {
		case o := <-done:
			if o.ExitCode != 0 || o.OutputErr != nil {
				t.Errorf("%q: %+v", script, o)
			}
		case <-time.After(time.Minute):
			t.Errorf("%q: the job waits for the process that it left behind", script)
		}
		pid, _ := strconv.Atoi(strings.TrimSpace(err.String()))
		if pid <= 1 || syscall.Kill(pid, syscall.SIGKILL) != nil {
			t.Errorf("%q: no process %q", script, err.String())
		}
	}
}

// sluggish is a writer that takes less than yes writes.
type sluggish struct{}

func (sluggish) Write(p []byte) (int, error) {
	time.Sleep(time.Millisecond)
	return len(p), nil
}

func TestTheWholeGroupEndsThoughItIgnoresTERM(t *testing.T) {
	var out, err bytes.Buffer
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(200*time.Millisecond, func() { cancel(&job.Interrupt{Signal: syscall.SIGINT}) })
	o := runner(t, "TERM,50,KILL,25")(ctx, sh("trap '' TERM INT; (sleep 30; echo late)& sleep 30; echo late", &out, &err))
	if o.Signal != syscall.SIGKILL || out.Len() > 0 {
		t.Errorf("%+v, %q", o, out.String())
	}
}

func TestAnInterruptNamesItsSignal(t *testing.T) {
	for sig, want := range map[syscall.Signal]string{syscall.SIGINT: "interrupted by SIGINT", 40: "interrupted by signal 40"} {
		if got := (&job.Interrupt{Signal: sig}).Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestParseTermSeq(t *testing.T) {
	seq, err := job.ParseTermSeq("sigint,1000,9")
	if err != nil || len(seq) != 2 || seq[0] != (job.TermStep{Signal: syscall.SIGINT, Pause: time.Second}) || seq[1].Signal != syscall.SIGKILL {
		t.Errorf("%v, %v", seq, err)
	}
	for _, s := range []string{"", "FOO", "TERM,x", "TERM,-1", "0,1"} {
		if seq, err := job.ParseTermSeq(s); err == nil {
			t.Errorf("%q is accepted as %v", s, seq)
		}
	}
}

func TestATimeoutEndsWhatTheCommandHasStarted(t *testing.T) {
	run := runner(t, "TERM,50,KILL,25")
	var out, err bytes.Buffer
	c := sh("trap '' TERM; (sleep 30; echo late)& sleep 30; echo late", &out, &err)
	c.Timeout = 100 * time.Millisecond
	if o := run(t.Context(), c); !o.TimedOut || o.ExitCode != job.CodeTimedOut || o.Signal != syscall.SIGKILL || out.Len() > 0 {
		t.Errorf("%+v, %q", o, out.String())
	}
	c = sh("trap 'exit 3' TERM; sleep 30 & wait", &out, &err)
	c.Timeout = 100 * time.Millisecond
	if o := run(t.Context(), c); !o.TimedOut || o.ExitCode != job.CodeTimedOut {
		t.Errorf("%+v", o)
	}
	c = sh("exit 3", &out, &err)
	c.Timeout = time.Hour
	if o := run(t.Context(), c); o.TimedOut || o.ExitCode != 3 {
		t.Errorf("%+v", o)
	}
}

func TestACommandInTheForegroundGetsSignalsAndFiles(t *testing.T) {
	run := runner(t, job.DefaultTermSeq)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	signals := make(chan os.Signal, 1)
	var out, errs bytes.Buffer
	c := sh("trap 'echo got; exit 5' USR1; echo here >&3; read x; while :; do sleep 0.01; done", &out, &errs)
	stdin, inw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c.Foreground, c.Stdin, c.Extra, c.Signals = true, stdin, []*os.File{w}, signals
	go func() {
		line := make([]byte, 10)
		_, _ = r.Read(line)
		signals <- syscall.SIGUSR1
		_ = inw.Close()
	}()
	if o := run(t.Context(), c); o.ExitCode != 5 || out.String() != "got\n" {
		t.Errorf("%+v, %q, %q", o, out.String(), errs.String())
	}
}

// What the command has started is dead after the first signal, and perhaps a zombie for ever.
func TestTheSequenceEndsWhenNothingIsLeftAlive(t *testing.T) {
	run := runner(t, "TERM,600000,KILL,25")
	var out, err bytes.Buffer
	c := sh("sleep 60 & sleep 60 & wait", &out, &err)
	c.Timeout = 100 * time.Millisecond
	done := make(chan job.Outcome, 1)
	go func() { done <- run(t.Context(), c) }()
	select {
	case o := <-done:
		if !o.TimedOut {
			t.Errorf("%+v", o)
		}
	case <-time.After(2 * time.Minute):
		t.Error("the dead are waited for")
	}
}
