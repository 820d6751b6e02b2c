//go:build linux || darwin

package lockfile

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

// crowd has so many wait for grants of each of so many keys that are an hour away at least. It returns another open file of each
// key, and what waits for the grants.
func crowd(t *testing.T, keys, each int, o Options) (others []*File, wait func()) {
	t.Helper()
	dir := t.TempDir()
	var wg sync.WaitGroup
	open := func(path string, o Options) *File {
		f, err := Open(path, "", o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		return f
	}
	o.Limit = pacer.Every(time.Hour)
	for i := range keys {
		path := filepath.Join(dir, fmt.Sprint(i))
		f := open(path, o)
		if err := f.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range each {
			r, err := f.Reserve(t.Context(), 1)
			if err != nil {
				t.Fatal(err)
			}
			wg.Go(func() {
				if err := r.Wait(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		others = append(others, open(path, Options{hooks: o.hooks}))
	}
	return others, wg.Wait
}

// A limit that another open file changes moves all who wait, those of them too whom nobody can wake.
func TestAChangedLimitMovesACrowd(t *testing.T) {
	for _, hooks := range []hooks{{}, {portable: true}} {
		others, wait := crowd(t, 40, 2, Options{hooks: hooks})
		time.Sleep(20 * time.Millisecond) // so that they sleep; it is right if they don't yet
		for _, f := range others {
			if err := f.SetLimit(t.Context(), pacer.Unlimited()); err != nil {
				t.Fatal(err)
			}
		}
		wait() // without it the first of them would take an hour
	}
}

// Whom nobody can wake looks as often as that costs next to nothing: the more do in a process the less often.
func TestThoseWhoCannotBeWokenSeeAChange(t *testing.T) {
	for _, c := range []struct {
		keys, each int
		within     time.Duration
	}{{1, 1, pollEvery}, {50, 1, pollEvery}, {10, pollFirst, pollEvery}, {1, 3 * pollFirst, 3 * pollEvery}, {300, 1, 300 * pollShare}} {
		synctest.Test(t, func(t *testing.T) {
			others, wait := crowd(t, c.keys, c.each, Options{hooks: bubble()})
			time.Sleep(time.Minute + time.Millisecond)
			start := time.Now()
			for _, f := range others {
				if err := f.SetLimit(t.Context(), pacer.Unlimited()); err != nil {
					t.Error(err)
				}
			}
			wait()
			if d := time.Since(start); d > c.within {
				t.Errorf("%d keys, %d each: it took %v", c.keys, c.each, d)
			}
		})
	}
}
