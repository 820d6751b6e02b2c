package job

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// TermSeq is how a command is ended: a signal, a pause, and so on, as in GNU parallel's --term-seq.
type TermSeq []TermStep

// TermStep is a signal and how long it is given to work.
type TermStep struct {
	Signal syscall.Signal
	Pause  time.Duration
}

// DefaultTermSeq is GNU parallel's.
const DefaultTermSeq = "TERM,200,TERM,100,TERM,50,KILL,25"

// ParseTermSeq parses SIGNAL,MILLISECONDS,SIGNAL,MILLISECONDS,...: names with or without SIG, or numbers. The last
// pause may be left out.
func ParseTermSeq(s string) (TermSeq, error) {
	fail := func(what, value string) (TermSeq, error) {
		return nil, fmt.Errorf("%s %q in %q: it is SIGNAL,MILLISECONDS,... such as %s", what, value, s, DefaultTermSeq)
	}
	var seq TermSeq
	fields := strings.Split(s, ",")
	for i := 0; i < len(fields); i += 2 {
		sig, ok := parseSignal(strings.TrimSpace(fields[i]))
		if !ok {
			return fail("unknown signal", fields[i])
		}
		step := TermStep{Signal: sig}
		if i+1 < len(fields) {
			ms, err := strconv.ParseUint(strings.TrimSpace(fields[i+1]), 10, 31)
			if err != nil {
				return fail("bad pause", fields[i+1])
			}
			step.Pause = time.Duration(ms) * time.Millisecond
		}
		seq = append(seq, step)
	}
	return seq, nil
}

func parseSignal(name string) (syscall.Signal, bool) {
	if n, err := strconv.ParseUint(name, 10, 7); err == nil && n > 0 {
		return syscall.Signal(n), true
	}
	sig, ok := signals()[strings.TrimPrefix(strings.ToUpper(name), "SIG")]
	return sig, ok
}

// Total returns how long all of it takes, with a signal before it that has the first pause too.
func (seq TermSeq) Total() (d time.Duration) {
	for i, step := range seq {
		if i == 0 {
			d += step.Pause
		}
		d += step.Pause
	}
	return d
}

// poll is how often a process group is looked at that has outlived its leader.
const poll = 5 * time.Millisecond

// A target is what signals go to: the process group of a command, or the command alone.
type target struct {
	pid   int // of the command
	alone bool
}

// pass passes signals on until the command is gone.
func (t target) pass(signals <-chan os.Signal, gone <-chan struct{}) {
	for {
		select {
		case s := <-signals:
			if sig, ok := s.(syscall.Signal); ok {
				t.signal(sig)
			}
		case <-gone:
			return
		}
	}
}

// end ends the target and returns when its leader is gone. gone is closed when the leader is.
func (seq TermSeq) end(ctx context.Context, t target, gone <-chan struct{}, kill <-chan struct{}) {
	steps := seq
	if i := (*Interrupt)(nil); errors.As(context.Cause(ctx), &i) && (len(seq) == 0 || i.Signal != seq[0].Signal) {
		pause := TermStep{Signal: i.Signal}
		if len(seq) > 0 {
			pause.Pause = seq[0].Pause
		}
		steps = append(TermSeq{pause}, seq...)
	}
	for _, step := range steps {
		t.signal(step.Signal)
		if t.wait(step.Pause, gone, kill) {
			<-gone
			return
		}
	}
	t.signal(killSignal)
	<-gone
}

// wait waits until nothing is left of the target, and reports whether it is. It gives up after d, or when kill is closed.
func (t target) wait(d time.Duration, gone <-chan struct{}, kill <-chan struct{}) bool {
	timeout := time.NewTimer(d)
	defer timeout.Stop()
	leader := gone
	for n := 0; ; n++ {
		if leader == nil && (!t.alive() || seldom(n) && t.dead()) {
			return true
		}
		var tick <-chan time.Time
		if leader == nil {
			tick = time.After(poll)
		}
		select {
		case <-leader:
			leader = nil
		case <-tick:
		case <-kill:
			t.signal(killSignal)
			return true
		case <-timeout.C:
			return false
		}
	}
}

// seldom reports whether n is 2, 4, 8, ...: to look at every process of the system takes a while.
func seldom(n int) bool { return n > 1 && n&(n-1) == 0 }
