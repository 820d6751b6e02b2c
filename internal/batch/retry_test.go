package batch_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/throttle-cli/throttle/internal/batch"
	"github.com/throttle-cli/throttle/internal/feedback"
	"github.com/throttle-cli/throttle/internal/job"
	"github.com/throttle-cli/throttle/internal/output"
	"github.com/throttle-cli/throttle/pacer"
)

// A script says how the attempts of each task end: their exit codes, and what they write to stderr. What follows the last is
// a success.
type script struct {
	mu     sync.Mutex
	start  time.Time
	codes  map[string][]int
	stderr string
	takes  time.Duration
	starts map[string][]time.Duration
	order  []string
}

func (s *script) run(ctx context.Context, c job.Command) job.Outcome {
	name := c.Argv[len(c.Argv)-1]
	s.mu.Lock()
	n := len(s.starts[name])
	s.starts[name] = append(s.starts[name], time.Since(s.start))
	s.order = append(s.order, name)
	code := 0
	if n < len(s.codes[name]) {
		code = s.codes[name][n]
	}
	s.mu.Unlock()
	c.Started(nil)
	select {
	case <-time.After(s.takes):
	case <-ctx.Done():
		return job.Outcome{ExitCode: 143, Signal: syscall.SIGTERM}
	}
	if code != 0 {
		_, _ = fmt.Fprintln(c.Stderr, s.stderr)
	}
	_, _ = fmt.Fprintf(c.Stdout, "%s try %d\n", name, n+1)
	return job.Outcome{ExitCode: code}
}

func scripted(s *script, p *pacer.Pacer, jobs, n int) batch.Options {
	s.start, s.starts = time.Now(), make(map[string][]time.Duration)
	o := options(&world{}, p, jobs, tasks(n, func(int) []string { return []string{"job"} }))
	o.Run = s.run
	return o
}

func retryOn(t *testing.T, conditions ...string) (out []feedback.Condition) {
	t.Helper()
	for _, c := range conditions {
		parsed, err := feedback.Parse(c)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, parsed)
	}
	return out
}

const ms = time.Millisecond

func TestAnotherAttemptWaitsBesideTheQueueAndTakesAGrant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{codes: map[string][]int{"2": {1, 1}}}
		o := scripted(s, pacer.New(pacer.Every(100*ms)), 1, 6)
		o.Retry = batch.Retry{Attempts: 3} // no backoff: it is ready at once, and goes first
		res := batch.Run(t.Context(), o)
		if !errors.Is(res.Err, io.EOF) || res.Started != 6 || res.Failed != 0 || len(res.Left) != 0 {
			t.Errorf("%+v", res)
		}
		if got, want := strings.Join(s.order, " "), "1 2 2 2 3 4 5 6"; got != want {
			t.Errorf("started %s, want %s", got, want)
		}
		var all []time.Duration
		for _, at := range s.starts {
			all = append(all, at...)
		}
		slices.Sort(all)
		for i, at := range all {
			if want := time.Duration(i) * 100 * ms; at != want {
				t.Errorf("start %d at %v, want %v: each attempt takes a grant", i, at, want)
			}
		}
	})
}

func TestABackoffDoesNotHoldWhatIsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{codes: map[string][]int{"1": {1, 1, 1}}}
		o := scripted(s, pacer.New(pacer.Every(10*ms)), 1, 20)
		o.Retry = batch.Retry{Attempts: 3, Backoff: feedback.Backoff{Base: time.Hour, Most: time.Hour}}
		res := batch.Run(t.Context(), o)
		if res.Failed != 1 || res.Started != 20 || len(s.starts["1"]) != 3 {
			t.Errorf("%+v, %d attempts", res, len(s.starts["1"]))
		}
		for i := 2; i <= 20; i++ {
			if at := s.starts[strconv.Itoa(i)][0]; at != time.Duration(i-1)*10*ms {
				t.Errorf("%d started at %v", i, at)
			}
		}
		last := s.starts["1"][2]
		if end := time.Since(s.start); end != last {
			t.Errorf("ended at %v, %v after the last attempt", end, end-last)
		}
	})
}

// stuckAtTheSecond has the second task take an hour to come, or as long as anybody waits for it.
func stuckAtTheSecond(o *batch.Options) {
	next, n := o.Next, 0
	o.Next = func(ctx context.Context) (batch.Task, error) {
		if n++; n == 2 {
			select {
			case <-time.After(time.Hour):
			case <-ctx.Done():
			}
		}
		return next(ctx)
	}
}

// An input that does not come must not hold one that is to be run again.
func TestAnotherAttemptDoesNotWaitForInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{codes: map[string][]int{"1": {1}}}
		o := scripted(s, pacer.New(pacer.Every(ms)), 1, 2)
		stuckAtTheSecond(&o)
		o.Retry = batch.Retry{Attempts: 2, Backoff: feedback.Backoff{Base: time.Second, Most: time.Second}}
		if res := batch.Run(t.Context(), o); res.Started != 2 || res.Failed != 0 {
			t.Errorf("%+v", res)
		}
		if at := s.starts["1"]; len(at) != 2 || at[1] > time.Second {
			t.Errorf("attempts at %v", at)
		}
	})
}

// A limit that is told.
type told struct {
	mu    sync.Mutex
	after []time.Duration
}

func (l *told) Throttled(a *batch.Attempt) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.after = append(l.after, a.Verdict.After)
	return nil
}

func (*told) Ended() {}

func TestThrottledDoesNotCountAgainstAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{codes: map[string][]int{"1": {9, 9, 9, 9}, "2": {9, 9, 9, 9, 9, 9}, "3": {9, 1}}, stderr: "HTTP 429\nRetry-After: 7"}
		limit := &told{}
		o := scripted(s, pacer.New(pacer.Unlimited()), 1, 3)
		o.Wait = func(context.Context, batch.Task) (batch.Grant, error) { return limit, nil }
		o.Retry = batch.Retry{Throttled: 5, Rules: feedback.Rules{ThrottledOn: retryOn(t, "exit=9")}}
		res := batch.Run(t.Context(), o)
		if res.Started != 3 || res.Failed != 2 || res.First.Seq != 2 {
			t.Errorf("%+v", res)
		}
		for name, want := range map[string]int{"1": 5, "2": 6, "3": 2} {
			if got := len(s.starts[name]); got != want {
				t.Errorf("task %s: %d attempts, want %d", name, got, want)
			}
		}
		if len(limit.after) != 11 || limit.after[0] != 7*time.Second {
			t.Errorf("told %v", limit.after)
		}
	})
}

func TestOnlyTheLastAttemptIsSeen(t *testing.T) {
	for _, keep := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := &script{codes: map[string][]int{"1": {1, 1}, "2": {1, 1, 1}}, stderr: "no"}
			var out, errs strings.Builder
			o := scripted(s, pacer.New(pacer.Every(ms)), 3, 4)
			o.Output = output.New(&out, &errs, output.Group, keep)
			o.Retry = batch.Retry{Attempts: 3}
			batch.Run(t.Context(), o)
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			want := []string{"1 try 3", "2 try 3", "3 try 1", "4 try 1"}
			if !keep {
				slices.Sort(lines)
			}
			if !slices.Equal(lines, want) || errs.String() != "no\n" {
				t.Errorf("order kept %v: stdout %q, stderr %q", keep, lines, errs.String())
			}
		})
	}
}

// An observer that counts.
type observer struct {
	mu     sync.Mutex
	starts int
	ends   map[string][]batch.Attempt
	fail   int // the end that fails
	failed error
}

func (o *observer) Starting(*batch.Attempt) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.starts++
	return nil
}

func (*observer) Output(_ *batch.Attempt, stdout, stderr io.Writer) (io.Writer, io.Writer, error) {
	return stdout, stderr, nil
}

func (o *observer) Ended(a *batch.Attempt) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ends[a.Task.Name] = append(o.ends[a.Task.Name], *a)
	if o.fail--; o.fail == 0 {
		return o.failed
	}
	return nil
}

// Whenever a batch ends, each task that was taken is done, failed for good or left, and each start has an end.
func TestABatchWithAttemptsKnowsWhatIsLeft(t *testing.T) {
	for seed := range uint64(500) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 3))
			s := &script{codes: make(map[string][]int), takes: time.Duration(rng.IntN(300)) * ms}
			for i := range 40 {
				for range rng.IntN(4) {
					s.codes[strconv.Itoa(i+1)] = append(s.codes[strconv.Itoa(i+1)], rng.IntN(3))
				}
			}
			see := &observer{ends: make(map[string][]batch.Attempt)}
			o := scripted(s, pacer.New(pacer.Every(20*ms)), 1+rng.IntN(6), 40)
			o.Retry = batch.Retry{Attempts: 1 + rng.IntN(3), Throttled: rng.IntN(3), Backoff: feedback.Backoff{Base: time.Duration(rng.IntN(500)) * ms}}
			o.Retry.Rules.ThrottledOn = retryOn(t, "exit=2")
			o.Observer = see
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			switch rng.IntN(4) {
			case 0:
				time.AfterFunc(time.Duration(rng.IntN(3000))*ms, func() { cancel(&job.Interrupt{Signal: syscall.SIGTERM}) })
			case 1:
				o.Halt = batch.Halt{Now: rng.IntN(2) == 0, Why: []string{"fail", "done", "success"}[rng.IntN(3)], N: 1 + rng.IntN(10)}
			case 2:
				see.fail, see.failed = 1+rng.IntN(30), errors.New("disk full")
			}
			taken := 0
			next := o.Next
			o.Next = func(ctx context.Context) (batch.Task, error) {
				task, err := next(ctx)
				if err == nil {
					taken++
				}
				return task, err
			}
			res := batch.Run(ctx, o)
			state := make(map[string]int)
			for _, task := range res.Left {
				state[task.Name]++
			}
			failed, ends := 0, 0
			for name, all := range see.ends {
				ends += len(all)
				last := all[len(all)-1]
				switch {
				case last.Again || last.Interrupted:
				case last.Verdict.Kind == feedback.Succeeded:
					state[name]++
				default:
					failed++
					state[name]++
				}
			}
			if len(state) != taken || failed != res.Failed || ends != see.starts {
				t.Errorf("seed %d: %d taken, %d are known of; %d failed, %d counted; %d starts, %d ends", seed, taken, len(state), failed, res.Failed, see.starts, ends)
			}
			for name, n := range state {
				if n != 1 {
					t.Errorf("seed %d: task %s is %d times done or left", seed, name, n)
				}
			}
			if !slices.IsSortedFunc(res.Left, func(a, b batch.Task) int {
				m, _ := strconv.Atoi(a.Name)
				n, _ := strconv.Atoi(b.Name)
				return m - n
			}) {
				t.Errorf("seed %d: left are %v", seed, res.Left)
			}
			if see.failed != nil && see.fail <= 0 && !errors.Is(res.Err, see.failed) {
				t.Errorf("seed %d: %v", seed, res.Err)
			}
		})
	}
}

func TestHalt(t *testing.T) {
	for _, test := range []struct {
		halt                          string
		total                         int
		started, failed, left, halted int
	}{
		{"soon,fail=2", -1, 8, 2, 0, 1},      // every third fails, 6 is the second to; two more ran
		{"now,fail=2", -1, 6, 2, 2, 1},       // those were ended
		{"soon,success=1", -1, 3, 1, 0, 1},   //
		{"soon,done=5", -1, 7, 2, 0, 1},      //
		{"soon,fail=30%", -1, 11, 3, 0, 1},   // 3 of 9
		{"soon,fail=10%", 30, 11, 3, 0, 1},   // 3 of 30
		{"soon,fail=10%", 300, 30, 10, 0, 0}, // of 300 it takes 30
		{"soon,done=50%", 30, 17, 5, 0, 1},
		{"soon,done=50%", -1, 30, 10, 0, 0},
		{"never", -1, 30, 10, 0, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &script{codes: make(map[string][]int), takes: 25 * ms}
			for i := 3; i <= 30; i += 3 {
				s.codes[strconv.Itoa(i)] = []int{1}
			}
			o := scripted(s, pacer.New(pacer.Every(10*ms)), 10, 30)
			halt, err := batch.ParseHalt(test.halt)
			if err != nil {
				t.Fatal(err)
			}
			o.Halt, o.Total = halt, func() int { return test.total }
			res := batch.Run(t.Context(), o)
			var halted *batch.HaltError
			if got := errors.As(res.Err, &halted); got != (test.halted == 1) || len(s.order) != test.started+test.left || res.Failed != test.failed || len(res.Ended) != test.left {
				t.Errorf("--halt %s of %d: %d ran, %d failed, %d were ended, %v", test.halt, test.total, len(s.order), res.Failed, len(res.Ended), res.Err)
			}
		})
	}
	for _, bad := range []string{"", "1", "now", "now,fail", "now,fail=", "now,fail=0", "now,fail=-1", "now,fail=0%", "now,fail=101%", "now,fail=NaN%", "later,fail=1", "soon,boom=1"} {
		if h, err := batch.ParseHalt(bad); err == nil || !strings.Contains(err.Error(), "soon,fail=10%") {
			t.Errorf("%q: %+v, %v", bad, h, err)
		}
	}
}

func TestAPauseHoldsStartsAndNoneIsMadeUpFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{}
		o := scripted(s, pacer.New(pacer.Every(100*ms)), 4, 10)
		var mu sync.Mutex
		var pause chan struct{}
		o.Paused = func() <-chan struct{} {
			mu.Lock()
			defer mu.Unlock()
			if pause == nil {
				return nil
			}
			return pause
		}
		time.AfterFunc(350*ms, func() {
			mu.Lock()
			defer mu.Unlock()
			pause = make(chan struct{})
		})
		time.AfterFunc(5*time.Second, func() {
			mu.Lock()
			defer mu.Unlock()
			close(pause)
			pause = nil
		})
		batch.Run(t.Context(), o)
		for i := range 10 {
			want := time.Duration(i) * 100 * ms
			if i > 3 {
				want += 4600 * ms // from 5 s on
			}
			if at := s.starts[strconv.Itoa(i+1)]; len(at) != 1 || at[0] != want {
				t.Errorf("task %d at %v, want %v", i+1, at, want)
			}
		}
	})
}

// The source is asked in the background while an item may come back. When the batch ends for another reason, nobody waits
// for its answer, which may never come.
func TestABatchThatEndsDoesNotWaitForInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{codes: map[string][]int{"1": {1}}}
		o := scripted(s, pacer.New(pacer.Every(ms)), 1, 2)
		stuckAtTheSecond(&o)
		wait, grants, broken := o.Wait, 0, errors.New("the state is broken")
		o.Wait = func(ctx context.Context, task batch.Task) (batch.Grant, error) {
			if grants++; grants == 2 {
				return nil, broken
			}
			return wait(ctx, task)
		}
		o.Retry = batch.Retry{Attempts: 2, Backoff: feedback.Backoff{Base: time.Second, Most: time.Second}}
		res := batch.Run(t.Context(), o)
		if !errors.Is(res.Err, broken) || len(res.Left) != 1 || res.Left[0].Name != "1" {
			t.Errorf("%+v", res)
		}
		if took := time.Since(s.start); took > time.Second {
			t.Errorf("it took %v: it has waited for input", took) // fake time
		}
	})
}

func TestTheLastLineIsWhatIsSeenOfIt(t *testing.T) {
	for stderr, want := range map[string]string{
		"":                       "",
		"a\nb\n\n":               "b",
		"no end":                 "no end",
		"crlf\r\n":               "crlf",
		" 10%\r 50%\rcurl: no\n": "curl: no",
	} {
		r := batch.Retry{Attempts: 2}
		c := job.Command{Stdout: io.Discard, Stderr: io.Discard}
		w, err := r.Watch(&c)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c.Stderr, stderr)
		if got := w.LastLine(); got != want {
			t.Errorf("%q: %q, want %q", stderr, got, want)
		}
		w.Close()
	}
}

// An item that waits for the grant of another attempt is one of those that had failed, and no longer holds up the output of
// others, which are done.
func TestOneThatWaitsForAGrantHoldsNoOutputAtTheEnd(t *testing.T) {
	for _, keys := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := &script{codes: map[string][]int{"1": {1}}}
			var out strings.Builder
			o := scripted(s, pacer.New(pacer.Every(ms)), 2, 5)
			o.Output = output.New(&out, io.Discard, output.Group, true)
			o.Retry = batch.Retry{Attempts: 2, Backoff: feedback.Backoff{Base: time.Second, Most: time.Second}}
			see := &observer{ends: make(map[string][]batch.Attempt)}
			o.Observer = see
			wait, grants, broken := o.Wait, 0, errors.New("the state is broken")
			o.Wait = func(ctx context.Context, task batch.Task) (batch.Grant, error) {
				if grants++; grants == 6 { // that of the second attempt
					time.Sleep(time.Second)
					return nil, broken
				}
				return wait(ctx, task)
			}
			if keys {
				o.Keys = &batch.Keys{Of: func(batch.Task) string { return "" }, Ahead: 10}
			}
			res := batch.Run(t.Context(), o)
			if !errors.Is(res.Err, broken) || len(res.Left) != 1 || len(res.Beside) != 1 || res.Beside[0].Name != "1" {
				t.Errorf("with keys %v: %v, left %v, beside %v", keys, res.Err, res.Left, res.Beside)
			}
			if got := out.String(); got != "2 try 1\n3 try 1\n4 try 1\n5 try 1\n" {
				t.Errorf("with keys %v: %q", keys, got)
			}
		})
	}
}
