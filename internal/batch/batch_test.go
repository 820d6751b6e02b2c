package batch_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/throttle-cli/throttle/internal/batch"
	"github.com/throttle-cli/throttle/internal/job"
	"github.com/throttle-cli/throttle/internal/output"
	"github.com/throttle-cli/throttle/pacer"
)

// A world runs commands that are made up: Argv is a number of milliseconds to run, and an exit code.
type world struct {
	start time.Time

	mu      sync.Mutex
	starts  []time.Duration
	running int
	most    int
	done    []string
}

func (w *world) run(ctx context.Context, c job.Command) job.Outcome {
	if c.Argv[0] == "none" {
		err := &noCommand{}
		c.Started(err)
		return job.Outcome{StartErr: err}
	}
	w.mu.Lock()
	w.starts = append(w.starts, time.Since(w.start))
	w.running++
	w.most = max(w.most, w.running)
	w.mu.Unlock()
	c.Started(nil)
	ms, _ := strconv.Atoi(c.Argv[0])
	code, _ := strconv.Atoi(c.Argv[1])
	select {
	case <-time.After(time.Duration(ms) * time.Millisecond):
	case <-ctx.Done():
		code = 143
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running--
	if code == 0 {
		w.done = append(w.done, c.Argv[2])
	}
	return job.Outcome{ExitCode: code}
}

type noCommand struct{}

func (*noCommand) Error() string { return "no command" }

// tasks returns n tasks: task i is what argv says of it.
func tasks(n int, argv func(i int) []string) func(context.Context) (batch.Task, error) {
	i := 0
	return func(ctx context.Context) (batch.Task, error) {
		if err := context.Cause(ctx); err != nil {
			return batch.Task{}, err
		}
		if i == n {
			return batch.Task{}, io.EOF
		}
		i++
		name := strconv.Itoa(i)
		a := append(argv(i), name)
		return batch.Task{Name: name, Input: name + "\n", Command: func(int, int) batch.Command { return batch.Command{Argv: a} }}, nil
	}
}

func options(w *world, p *pacer.Pacer, jobs int, next func(context.Context) (batch.Task, error)) batch.Options {
	return batch.Options{
		Next: next, Wait: func(ctx context.Context, _ batch.Task) (batch.Grant, error) { return nil, p.Wait(ctx) }, Run: w.run, Jobs: jobs,
		Output: output.New(io.Discard, io.Discard, output.Group, false),
	}
}

func slow(int) []string { return []string{"1000", "0"} }

func TestACommandThatTakesLongDoesNotDelayTheNextStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{start: time.Now()}
		res := batch.Run(t.Context(), options(w, pacer.New(pacer.Every(200*time.Millisecond)), 100, tasks(50, slow)))
		if !errors.Is(res.Err, io.EOF) || res.Started != 50 || res.Failed != 0 {
			t.Errorf("%+v", res)
		}
		for i, at := range w.starts {
			if want := time.Duration(i) * 200 * time.Millisecond; at != want {
				t.Errorf("start %d at %v, want %v", i, at, want)
			}
		}
	})
}

func TestJobsBoundWhatRunsAtOnceAndNoGrantIsSavedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{start: time.Now()}
		o := options(w, pacer.New(pacer.Every(100*time.Millisecond)), 3, tasks(30, slow))
		held := 0
		o.Held = func() { held++ }
		batch.Run(t.Context(), o)
		if w.most != 3 || held != 1 {
			t.Errorf("%d ran at once, want 3; told %d times that they held the rate back", w.most, held)
		}
		for i := 1; i < len(w.starts); i++ {
			if gap := w.starts[i] - w.starts[i-1]; gap < 100*time.Millisecond {
				t.Errorf("start %d comes %v after the one before", i, gap)
			}
		}
	})
}

func TestARateThatNeedsFewIsNotHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{start: time.Now()}
		o := options(w, pacer.New(pacer.Every(time.Second)), 2, tasks(20, slow))
		o.Held = func() { t.Error("held, although the rate needs no more") }
		batch.Run(t.Context(), o)
	})
}

func TestFailuresAreCountedAndTheFirstIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{start: time.Now()}
		res := batch.Run(t.Context(), options(w, pacer.New(pacer.Every(time.Millisecond)), 9, tasks(9, func(i int) []string {
			return []string{strconv.Itoa(100 - 10*i), strconv.Itoa(i % 3)} // the last to start is the first to end
		})))
		if res.Started != 9 || res.Failed != 6 || res.First.Seq != 1 || res.First.Outcome.ExitCode != 1 {
			t.Errorf("%+v", res)
		}
	})
}

func TestACommandThatCantStartStopsTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{start: time.Now()}
		res := batch.Run(t.Context(), options(w, pacer.New(pacer.Every(time.Millisecond)), 9, tasks(9, func(i int) []string {
			if i == 4 {
				return []string{"none", "0"}
			}
			return []string{"1000", "0"}
		})))
		var start *batch.StartError
		if !errors.As(res.Err, &start) || start.Task.Name != "4" {
			t.Errorf("%v", res.Err)
		}
		if len(w.done) != 3 || len(res.Left) < 1 || res.Left[0].Name != "4" {
			t.Errorf("done: %v, left: %v", w.done, res.Left)
		}
	})
}

// Whenever it is interrupted, each task that was taken is either done or left, and only once, in order.
func TestAnInterruptedBatchKnowsWhatIsLeft(t *testing.T) {
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 7))
			w := &world{start: time.Now()}
			ctx, cancel := context.WithCancelCause(t.Context())
			interrupt := &job.Interrupt{Signal: syscall.SIGTERM}
			time.AfterFunc(time.Duration(rng.IntN(2000))*time.Millisecond, func() { cancel(interrupt) })
			taken := 0
			next := tasks(50, func(int) []string { return []string{strconv.Itoa(rng.IntN(300)), "0"} })
			res := batch.Run(ctx, options(w, pacer.New(pacer.Every(20*time.Millisecond)), 1+rng.IntN(10), func(ctx context.Context) (batch.Task, error) {
				task, err := next(ctx)
				if err == nil {
					taken++
				}
				return task, err
			}))
			if errors.Is(res.Err, io.EOF) {
				if len(w.done) != 50 || len(res.Left) != 0 {
					t.Errorf("seed %d: %d of 50 done, left are %v", seed, len(w.done), res.Left)
				}
				return
			}
			var got []int
			for _, name := range w.done {
				n, _ := strconv.Atoi(name)
				got = append(got, n)
			}
			last := 0
			for _, task := range res.Left {
				n, _ := strconv.Atoi(task.Name)
				if n <= last {
					t.Errorf("seed %d: left are %v", seed, res.Left)
				}
				last = n
				got = append(got, n)
			}
			slices.Sort(got)
			for i, n := range got {
				if n != i+1 {
					t.Fatalf("seed %d: done or left are %v", seed, got)
				}
			}
			if len(got) != taken || !errors.Is(res.Err, interrupt) {
				t.Errorf("seed %d: %d taken, %d done or left, %v", seed, taken, len(got), res.Err)
			}
		})
	}
}

func TestABrokenConsumerStopsTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{start: time.Now()}
		o := options(w, pacer.New(pacer.Every(time.Second)), 2, tasks(20, func(int) []string { return []string{"1", "0"} }))
		o.Output = output.New(brokenPipe{}, io.Discard, output.Group, false)
		o.Run = func(ctx context.Context, c job.Command) job.Outcome {
			_, _ = fmt.Fprintln(c.Stdout, "x")
			return w.run(ctx, c)
		}
		res := batch.Run(t.Context(), o)
		var out *batch.OutputError
		if !errors.As(res.Err, &out) || !errors.Is(res.Err, syscall.EPIPE) || res.Started != 1 {
			t.Errorf("%+v", res)
		}
	})
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, syscall.EPIPE }

func TestKillReturnsAlthoughAJobDoesNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		kill, release := make(chan struct{}), make(chan struct{})
		o := options(&world{}, pacer.New(pacer.Unlimited()), 1, tasks(2, slow))
		o.Kill = kill
		o.Run = func(_ context.Context, c job.Command) job.Outcome {
			c.Started(nil)
			<-release
			return job.Outcome{}
		}
		time.AfterFunc(time.Second, func() { cancel(&job.Interrupt{Signal: syscall.SIGINT}) })
		time.AfterFunc(2*time.Second, func() { close(kill) })
		if res := batch.Run(ctx, o); len(res.Lost) != 1 || len(res.Left) < 1 {
			t.Errorf("%+v", res)
		}
		close(release)
	})
}

func TestNoTwoJobsHaveTheSameSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const jobs = 5
		var mu sync.Mutex
		used := make(map[string]bool)
		next := tasks(200, func(i int) []string { return []string{strconv.Itoa(37 * i % 100), "0"} })
		o := options(&world{}, pacer.New(pacer.Every(5*time.Millisecond)), jobs, func(ctx context.Context) (batch.Task, error) {
			task, err := next(ctx)
			command := task.Command
			task.Command = func(seq, slot int) batch.Command {
				if slot < 1 || slot > jobs {
					t.Errorf("slot %d of %d", slot, jobs)
				}
				c := command(seq, slot)
				c.Argv = append(c.Argv, strconv.Itoa(slot))
				return c
			}
			return task, err
		})
		o.Run = func(ctx context.Context, c job.Command) job.Outcome {
			slot := c.Argv[len(c.Argv)-1]
			mark := func(to bool) {
				mu.Lock()
				defer mu.Unlock()
				if used[slot] == to {
					t.Errorf("slot %s: in use is already %v", slot, to)
				}
				used[slot] = to
			}
			mark(true)
			defer mark(false)
			return (&world{}).run(ctx, c)
		}
		batch.Run(t.Context(), o)
		if len(used) != jobs {
			t.Errorf("%d slots of %d were used", len(used), jobs)
		}
	})
}

// A gate lets writes through once it is open.
type gate chan struct{}

func (g gate) Write(p []byte) (int, error) {
	<-g
	return len(p), nil
}

// In real time: one who waits for the lock of the sink would hang a synctest bubble.
func TestAConsumerThatDoesNotReadHoldsUpTheStarts(t *testing.T) {
	const jobs = 3
	w, out := &world{start: time.Now()}, make(gate)
	ended := make(chan batch.Result)
	go func() {
		ended <- batch.Run(t.Context(), writing(w, output.New(out, io.Discard, output.Group, false), jobs))
	}()
	time.Sleep(200 * time.Millisecond)
	w.mu.Lock()
	if n := len(w.starts); n > jobs {
		t.Errorf("%d jobs were started while nobody read, want %d", n, jobs)
	}
	w.mu.Unlock()
	close(out)
	if res := <-ended; res.Started != 50 || res.Failed != 0 {
		t.Errorf("%+v", res)
	}
}

func TestAnInterruptedBatchGivesUpAConsumerThatDoesNotRead(t *testing.T) {
	for _, keep := range []bool{false, true} {
		w, out := &world{start: time.Now()}, make(gate)
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(100*time.Millisecond, func() { cancel(&job.Interrupt{Signal: syscall.SIGTERM}) })
		res := batch.Run(ctx, writing(w, output.New(out, io.Discard, output.Group, keep), 3))
		for i, task := range res.Left {
			if task.Name != strconv.Itoa(i+1) {
				t.Errorf("left, with order kept %v: %v", keep, res.Left)
				break
			}
		}
		if len(res.Lost) == 0 || len(res.Left) < len(res.Lost) {
			t.Errorf("with order kept %v: %+v", keep, res)
		}
		close(out)
	}
}

// writing returns the options of 50 jobs that write a line each.
func writing(w *world, sink *output.Sink, jobs int) batch.Options {
	o := options(w, pacer.New(pacer.Unlimited()), jobs, tasks(50, func(int) []string { return []string{"1", "0"} }))
	o.Output = sink
	o.Run = func(ctx context.Context, c job.Command) job.Outcome {
		_, _ = fmt.Fprintln(c.Stdout, "x")
		return w.run(ctx, c)
	}
	return o
}

// What other jobs held up, and could not be written then, is not done. If nobody wants it, it is.
func TestOutputThatIsHeldUpAndCanNotBeWrittenIsLeft(t *testing.T) {
	for _, c := range []struct {
		err  error
		left string
	}{{syscall.ENOSPC, "1 2 3 "}, {syscall.EPIPE, ""}} {
		synctest.Test(t, func(t *testing.T) {
			w := &world{start: time.Now()}
			o := options(w, pacer.New(pacer.Unlimited()), 3, tasks(3, func(i int) []string {
				if i == 1 {
					return []string{"1000", "0"}
				}
				return []string{"1", "0"}
			}))
			o.Run = func(ctx context.Context, cmd job.Command) job.Outcome {
				out := w.run(ctx, cmd)
				_, _ = io.WriteString(cmd.Stdout, "x\n")
				return out
			}
			o.Output = output.New(failing{c.err}, io.Discard, output.Group, true)
			res := batch.Run(t.Context(), o)
			var left string
			for _, task := range res.Left {
				left += task.Name + " "
			}
			if !errors.Is(res.Err, c.err) || left != c.left {
				t.Errorf("%v: %v, left %q, want %q", c.err, res.Err, left, c.left)
			}
		})
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }
