package pacer_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

func TestTokenThrottlerUnknownIdentifier(t *testing.T) {
	r := pacer.NewRegistry(pacer.RegistryOptions{})
	if _, err := r.Get("nobody"); !errors.Is(err, pacer.ErrUnknown) || err.Error() != `unknown name "nobody"` {
		t.Errorf("%v", err)
	}
	if r.Len() != 0 {
		t.Error("it is known now")
	}
	r = pacer.NewRegistry(pacer.RegistryOptions{Default: pacer.Limits{pacer.Unlimited()}})
	for range 100 {
		if err := r.Wait(t.Context(), "nobody"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTokenThrottlerAddGetRemove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := pacer.NewRegistry(pacer.RegistryOptions{})
		for _, l := range []pacer.Limit{sliding(2, s), sliding(3, time.Minute)} {
			if err := r.Add("a", l); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Set("b", pacer.Limit{Algorithm: 7}); err == nil {
			t.Error("a limit that is none is accepted")
		}
		p, err := r.Get("a")
		if err != nil || len(p.Limits()) != 2 {
			t.Fatalf("%v", err)
		}
		start := time.Now()
		rs := queue(t, p, 4)
		at(t, start, rs, 0, 0, s, time.Minute)
		if err := r.Set("a", sliding(2, s)); err != nil {
			t.Fatal(err)
		}
		at(t, start, rs, 0, 0, s, s)
		if !r.Remove("a") || r.Remove("a") {
			t.Error("only the first Remove removes")
		}
		if err := rs[3].Wait(t.Context()); !errors.Is(err, pacer.ErrClosed) {
			t.Errorf("one who waits for a name that is removed: %v", err)
		}
	})
}

// One who knows what a name has creates its pacer when it is first asked for; it is kept while it is used.
func TestARegistryTakesAPacerOfTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := pacer.NewRegistry(pacer.RegistryOptions{})
		created := 0
		create := func() *pacer.Pacer { created++; return pacer.New(pacer.Every(s), pacer.WithQueue(0)) }
		p, err := r.GetOr("a", create)
		if err != nil {
			t.Fatal(err)
		}
		again, err := r.Get("a")
		third, err3 := r.GetOr("a", create)
		if again != p || err != nil || third != p || err3 != nil || created != 1 {
			t.Errorf("another one, %v, %v, %d created", err, err3, created)
		}
		time.Sleep(2 * time.Minute)
		r.Sweep()
		if r.Len() != 0 {
			t.Error("one that is idle is kept")
		}
	})
}

// Memory is bounded by the names that are in use, however many there were.
func TestARegistryForgetsWhoIsIdle(t *testing.T) {
	names := 1_000_000
	if testing.Short() {
		names = 50_000
	}
	synctest.Test(t, func(t *testing.T) {
		r := pacer.NewRegistry(pacer.RegistryOptions{Default: pacer.Limits{pacer.Every(s)}, Idle: 10 * s})
		if err := r.Set("stays", pacer.Every(s)); err != nil {
			t.Fatal(err)
		}
		most := 0
		for i := range names {
			if err := r.Wait(t.Context(), strconv.Itoa(i)); err != nil {
				t.Fatal(err)
			}
			if i%1000 == 0 {
				time.Sleep(s)
				most = max(most, r.Len())
			}
		}
		if most > 20_000 {
			t.Errorf("there were %d at a time", most)
		}
		p, _ := r.Get("slow")
		p.SetLimit(pacer.Every(h))
		_ = p.Wait(t.Context())
		time.Sleep(time.Minute)
		r.Sweep()
		if n := r.Len(); n != 2 { // a grant of the slow one counts for an hour
			t.Errorf("%d are left", n)
		}
		time.Sleep(h)
		r.Sweep()
		if n := r.Len(); n != 1 {
			t.Errorf("%d are left", n)
		}
	})
}

// A registry that is closed stays so: nobody is granted anything by a pacer that is new.
func TestARegistryThatIsClosed(t *testing.T) {
	r := pacer.NewRegistry(pacer.RegistryOptions{Default: pacer.Limits{pacer.Unlimited()}})
	if err := r.Set("added", pacer.Unlimited()); err != nil {
		t.Fatal(err)
	}
	r.Close()
	_, getErr := r.GetOr("c", func() *pacer.Pacer { return pacer.New(pacer.Unlimited()) })
	for call, err := range map[string]error{
		"Wait": r.Wait(t.Context(), "added"), "Do": r.Do(t.Context(), "a", func(context.Context) error { t.Error("it is called"); return nil }),
		"Set": r.Set("a", pacer.Unlimited()), "Add": r.Add("b", pacer.Unlimited()), "GetOr": getErr,
	} {
		if !errors.Is(err, pacer.ErrClosed) {
			t.Errorf("%s: %v", call, err)
		}
	}
	if r.Len() != 0 {
		t.Errorf("there are %d names", r.Len())
	}
}

func TestEachLimitThatIsAddedStays(t *testing.T) {
	for range 200 {
		r := pacer.NewRegistry(pacer.RegistryOptions{})
		var wg sync.WaitGroup
		for i := range pacer.LimitsMost {
			wg.Go(func() {
				if err := r.Add("a", pacer.Per(int64(i+1), time.Second)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if p, err := r.Get("a"); err != nil || len(p.Limits()) != pacer.LimitsMost {
			t.Fatalf("%v, %v", p.Limits(), err)
		}
	}
}

func TestARegistryIsForManyGoroutines(t *testing.T) {
	r := pacer.NewRegistry(pacer.RegistryOptions{Default: pacer.Limits{pacer.Unlimited()}, Idle: time.Nanosecond})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 500 {
				name := fmt.Sprint(i % 50)
				_ = r.Do(t.Context(), name, func(ctx context.Context) error { return ctx.Err() })
				switch i % 10 {
				case g:
					r.Remove(name)
				case g + 1:
					_ = r.Set(name, pacer.Unlimited())
				}
			}
		})
	}
	wg.Wait()
	r.Close()
}
