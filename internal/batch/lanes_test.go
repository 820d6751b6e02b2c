package batch_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
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

// keyed gives tasks the keys that of says, each with a limit.
func keyed(o *batch.Options, ahead int, limit func(key string) pacer.Limit, of func(n int) string) {
	pacers := make(map[string]*pacer.Pacer)
	var mu sync.Mutex
	o.Keys = &batch.Keys{
		Ahead: ahead,
		Of: func(task batch.Task) string {
			n, _ := strconv.Atoi(task.Name)
			return of(n)
		},
	}
	o.Wait = func(ctx context.Context, task batch.Task) (batch.Grant, error) {
		key := o.Keys.Of(task)
		mu.Lock()
		p := pacers[key]
		if p == nil {
			p = pacer.New(limit(key))
			pacers[key] = p
		}
		mu.Unlock()
		return nil, p.Wait(ctx)
	}
}

func TestEachKeyHasItsOwnRateAndOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rates := []int64{1, 10, 100}
		var names []string // of tasks, by key: 5 of the first, 50 of the second, 500 of the third, mixed
		for i := range 500 {
			names = append(names, "100")
			if i%10 == 0 {
				names = append(names, "10")
			}
			if i%100 == 0 {
				names = append(names, "1")
			}
		}
		s := &script{takes: 20 * ms}
		o := scripted(s, nil, 50, len(names))
		keyed(&o, 1000, func(key string) pacer.Limit {
			n, _ := strconv.ParseInt(key, 10, 64)
			return pacer.Per(n, time.Second)
		}, func(n int) string { return names[n-1] })
		res := batch.Run(t.Context(), o)
		if !errors.Is(res.Err, io.EOF) || res.Started != len(names) {
			t.Errorf("%+v", res)
		}
		for _, rate := range rates {
			i := 0
			for n, name := range names {
				if name != strconv.FormatInt(rate, 10) {
					continue
				}
				want := time.Duration(i) * time.Second / time.Duration(rate)
				if at := s.starts[strconv.Itoa(n+1)]; len(at) != 1 || at[0] != want {
					t.Fatalf("key %d: task %d, its %d., at %v, want %v", rate, n+1, i+1, at, want)
				}
				i++
			}
		}
		if end := time.Since(s.start); end != 4990*ms+20*ms {
			t.Errorf("took %v: the slowest key alone takes 4.99 s and its last job 20 ms", end)
		}
	})
}

// A start that came late by 50 ms or more, as no job slot was free, takes the grant of its own time, too.
func TestStartsOfAKeyThatWereHeldKeepTheirDistance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for seed := range uint64(200) {
			rng := rand.New(rand.NewPCG(seed, 5))
			keys := 1 + rng.IntN(5)
			of := make([]int, 101)
			for i := range of {
				of[i] = rng.IntN(keys)
			}
			s := &script{takes: time.Duration(rng.IntN(800)) * ms}
			o := scripted(s, nil, 1+rng.IntN(3), 100)
			keyed(&o, 1+rng.IntN(50), func(string) pacer.Limit { return pacer.Every(200 * ms) }, func(n int) string { return strconv.Itoa(of[n]) })
			if res := batch.Run(t.Context(), o); res.Started != 100 {
				t.Errorf("seed %d: %+v", seed, res)
			}
			last := make(map[int]time.Duration)
			for n := 1; n <= 100; n++ {
				at := s.starts[strconv.Itoa(n)][0]
				if before, ok := last[of[n]]; ok && at-before < 150*ms {
					t.Fatalf("seed %d: task %d of key %d starts %v after the one before", seed, n, of[n], at-before)
				}
				last[of[n]] = at
			}
		}
	})
}

func TestNoMoreIsReadAheadThanThat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{}
		o := scripted(s, nil, 4, 100)
		taken := 0
		next := o.Next
		o.Next = func(ctx context.Context) (batch.Task, error) {
			taken++
			s.mu.Lock()
			defer s.mu.Unlock()
			if len(s.starts) > 0 && taken-len(s.order) > 8+2 { // one is asked for, one is handed over
				t.Errorf("%d were taken when %d had started", taken, len(s.order))
			}
			return next(ctx)
		}
		keyed(&o, 8, func(string) pacer.Limit { return pacer.Every(10 * ms) }, func(n int) string { return strconv.Itoa(n % 3) })
		batch.Run(t.Context(), o)
	})
}

func TestABatchWithKeysKnowsWhatIsLeft(t *testing.T) {
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 6))
			s := &script{takes: time.Duration(rng.IntN(100)) * ms, codes: make(map[string][]int)}
			for i := range 60 {
				for range rng.IntN(3) {
					s.codes[strconv.Itoa(i)] = append(s.codes[strconv.Itoa(i)], 1)
				}
			}
			o := scripted(s, nil, 1+rng.IntN(5), 60)
			keys := 1 + rng.IntN(8)
			broken := errors.New("no limit")
			keyed(&o, 1+rng.IntN(40), func(string) pacer.Limit { return pacer.Every(time.Duration(1+rng.IntN(100)) * ms) }, func(n int) string { return strconv.Itoa(n % keys) })
			if rng.IntN(2) == 0 {
				o.Retry.Attempts = 2
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			switch rng.IntN(3) {
			case 0:
				time.AfterFunc(time.Duration(rng.IntN(2000))*ms, func() { cancel(&job.Interrupt{Signal: syscall.SIGTERM}) })
			case 1:
				wait, n := o.Wait, rng.IntN(60)
				var mu sync.Mutex
				o.Wait = func(ctx context.Context, task batch.Task) (batch.Grant, error) {
					mu.Lock()
					n--
					fail := n == 0
					mu.Unlock()
					if fail {
						return nil, broken
					}
					return wait(ctx, task)
				}
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
			see := &observer{ends: make(map[string][]batch.Attempt)}
			o.Observer = see
			res := batch.Run(ctx, o)
			state := make(map[string]string)
			for name, all := range see.ends {
				if last := all[len(all)-1]; !last.Again && !last.Interrupted {
					state[name] += "ended "
				}
			}
			for _, task := range res.Left {
				state[task.Name] += "left "
			}
			for name, is := range state {
				if strings.Count(is, " ") != 1 {
					t.Errorf("seed %d: task %s: %s", seed, name, is)
				}
			}
			if len(state) != taken {
				t.Errorf("seed %d: %d taken, %d known of; %v", seed, taken, len(state), res.Err)
			}
			if ended := fmt.Sprint(res.Err); ended != "EOF" && ended != broken.Error() && !strings.Contains(ended, "interrupted") {
				t.Errorf("seed %d: %s", seed, ended)
			}
		})
	}
}

// What is handed over is no longer in its lane, even if it ends the batch at once.
func TestATaskWithAKeyIsLeftOnce(t *testing.T) {
	for range 3000 {
		o := options(&world{}, nil, 1, tasks(1, func(int) []string { return []string{"none"} }))
		keyed(&o, 10, func(string) pacer.Limit { return pacer.Unlimited() }, func(int) string { return "" })
		if res := batch.Run(t.Context(), o); len(res.Left) != 1 {
			t.Fatalf("left are %d tasks of 1: %+v", len(res.Left), res)
		}
	}
}

// With keys, jobs start in another order than that of the input; what they write is in the order of the input nevertheless. At
// an early end those that have not started hold up nobody.
func TestOutputWithKeysIsInTheOrderOfTheInput(t *testing.T) {
	for _, early := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := &script{}
			var out strings.Builder
			o := scripted(s, nil, 10, 12)
			o.Output = output.New(&out, io.Discard, output.Group, true)
			keyed(&o, 100, func(key string) pacer.Limit {
				return map[string]pacer.Limit{"0": pacer.Every(time.Second), "1": pacer.Every(ms)}[key]
			},
				func(n int) string { return strconv.Itoa(n % 2) })
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			want := "1 try 1\n2 try 1\n3 try 1\n4 try 1\n5 try 1\n6 try 1\n7 try 1\n8 try 1\n9 try 1\n10 try 1\n11 try 1\n12 try 1\n"
			if early {
				time.AfterFunc(1500*ms, func() { cancel(&job.Interrupt{Signal: syscall.SIGTERM}) })
				want = "1 try 1\n2 try 1\n3 try 1\n4 try 1\n5 try 1\n7 try 1\n9 try 1\n11 try 1\n"
			}
			batch.Run(ctx, o)
			if out.String() != want {
				t.Errorf("early %v: %q", early, out.String())
			}
		})
	}
}
