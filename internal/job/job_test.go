//go:build unix

package job_test

import (
	"bytes"
	"context"
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
	if o.ExitCode != 7 || o.OK() || out.String() != "out\n" || err.String() != "err\n" {
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
	if !o.OK() || !bytes.HasPrefix(out.Bytes(), []byte("done\n")) {
		t.Errorf("%+v, %q", o, out.String())
	}
	if time.Since(start) > 20*time.Second {
		t.Error("the job waited for the process that it left behind")
	}
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
