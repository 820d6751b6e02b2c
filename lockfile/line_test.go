//go:build linux || darwin

package lockfile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

// atOnce has n goroutines ask, one after the other, while the first of them has not got further than to ask for the lock, and
// returns what they got, in that order.
func atOnce(ctx context.Context, f *File, n int, ask func(ctx context.Context, i int) error) []error {
	errs := make([]error, n)
	f.mu <- struct{}{}
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = ask(ctx, i) })
		synctest.Wait()
	}
	<-f.mu
	wg.Wait()
	return errs
}

func isFull(err error) bool { return errors.Is(err, ErrFull) }

// Who asks while another goroutine is asking does not find the queue full: nobody waits.
func TestAskingIsNotWaiting(t *testing.T) {
	for _, queue := range []int{-1, 1, 2} {
		t.Run(fmt.Sprint(queue), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, err := Open(statePath(t), "", Options{Limit: pacer.Every(time.Second).WithBurst(5), Queue: queue, hooks: bubble()})
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close() //nolint:errcheck // a test
				start := time.Now()
				errs := atOnce(t.Context(), f, 10, func(ctx context.Context, i int) error {
					if i%2 == 1 {
						return f.Wait(ctx)
					}
					granted, _, err := f.Try(ctx, 1)
					if err == nil && !granted {
						err = ErrFull
					}
					return err
				})
				// Five are due. Then those who Wait do so, as many as may, and the others are refused.
				waited := max(queue, 0)
				refused := len(slices.DeleteFunc(slices.Clone(errs), func(err error) bool { return !isFull(err) }))
				if slices.ContainsFunc(errs[:5], isFull) || refused != 5-waited || time.Since(start) != time.Duration(waited)*time.Second {
					t.Errorf("after %v: %v", time.Since(start), errs)
				}
			})
		})
	}
}

// One who leaves the line has those behind it move up, also at the instant at which its turn comes.
func TestLeavingTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, err := Open(statePath(t), "", Options{Limit: pacer.Every(time.Second), hooks: bubble()})
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close() //nolint:errcheck // a test
		start := time.Now()
		errs := atOnce(t.Context(), f, 9, func(ctx context.Context, i int) error {
			if i%3 == 2 { // the slot of the one before it is at that time
				var stop context.CancelFunc
				ctx, stop = context.WithTimeout(ctx, time.Duration(i-i/3-1)*time.Second)
				defer stop()
			}
			return f.Wait(ctx)
		})
		left := 0
		for i, err := range errs {
			if errors.Is(err, context.DeadlineExceeded) {
				left++
			} else if err != nil {
				t.Errorf("%d: %v", i, err)
			}
		}
		if d := time.Since(start); d != time.Duration(8-left)*time.Second || left > 3 {
			t.Errorf("%d left, the others were served in %v", left, d)
		}
	})
}
