package pacer_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/throttle-cli/throttle/pacer"
)

// Any number of goroutines share the rate, in the order in which they ask.
func Example() {
	p := pacer.New(pacer.Per(200, time.Second))
	var wg sync.WaitGroup
	start := time.Now()
	for range 3 {
		wg.Go(func() {
			for range 7 {
				if err := p.Wait(context.Background()); err != nil {
					return
				}
				// call the API
			}
		})
	}
	wg.Wait()
	fmt.Println(time.Since(start) >= 100*time.Millisecond) // 21 calls: 20 intervals of 5 ms
	// Output: true
}

// One who does not want to wait learns how long it would have been, and nothing has changed.
func ExamplePacer_Try() {
	p := pacer.New(pacer.Every(time.Minute))
	for range 2 {
		granted, wait := p.Try()
		fmt.Println(granted, wait.Round(time.Second))
	}
	// Output:
	// true 0s
	// false 1m0s
}

// A grant can cost more than one unit, up to the burst.
func ExamplePacer_WaitN() {
	p := pacer.New(pacer.Per(100, time.Second).WithBurst(10))
	fmt.Println(p.WaitN(context.Background(), 5))
	fmt.Println(p.WaitN(context.Background(), 20))
	// Output:
	// <nil>
	// cost 20 is above the burst of 10, which is the most that one grant can take
}

// A reservation knows its slot. One that is cancelled gives its place to those behind it.
func ExamplePacer_Reserve() {
	p := pacer.New(pacer.Every(time.Hour))
	var places []*pacer.Reservation
	for range 4 {
		r, err := p.Reserve()
		if err != nil {
			return
		}
		places = append(places, r)
	}
	show := func() {
		var slots []string
		for _, r := range places {
			if slot := r.Slot(); slot.IsZero() {
				slots = append(slots, "gone")
			} else {
				slots = append(slots, slot.Sub(places[0].Slot()).String())
			}
		}
		fmt.Println(slots)
	}
	show()
	places[1].Cancel()
	show()
	// Output:
	// [0s 1h0m0s 2h0m0s 3h0m0s]
	// [0s gone 1h0m0s 2h0m0s]
}

// A new limit holds at once, for those who wait too.
func ExamplePacer_SetLimit() {
	p := pacer.New(pacer.Every(time.Hour))
	_ = p.Wait(context.Background())
	done := make(chan error)
	go func() { done <- p.Wait(context.Background()) }()
	p.SetLimit(pacer.Per(1000, time.Second))
	fmt.Println(<-done)
	// Output: <nil>
}

// Drain is the soft stop, Close the hard one.
func ExamplePacer_Drain() {
	p := pacer.New(pacer.Every(10 * time.Millisecond))
	var places []*pacer.Reservation
	for range 3 {
		r, _ := p.Reserve()
		places = append(places, r)
	}
	fmt.Println(p.Drain(context.Background()))
	for _, r := range places {
		fmt.Print(r.Wait(context.Background()), " ")
	}
	fmt.Println(errors.Is(p.Wait(context.Background()), pacer.ErrClosed))
	// Output:
	// <nil>
	// <nil> <nil> <nil> true
}

// A limiter that others use too gets an order, and places that can be given back.
func ExampleOver() {
	shared := rate.NewLimiter(rate.Every(time.Hour), 1)
	p := pacer.Over(shared)
	fmt.Println(p.Wait(context.Background()), shared.Allow())
	// Output: <nil> false
}

func ExampleParseRate() {
	for _, s := range []string{"50/s", "2/10s", "1MiB/s", "50"} {
		limit, unit, err := pacer.ParseRate(s)
		if err != nil {
			fmt.Println("error:", err)
			continue
		}
		fmt.Println(limit, limit.Interval(), unit == pacer.Bytes)
	}
	// Output:
	// 50/s 20ms false
	// 2/10s 5s false
	// 1048576/s 953ns true
	// error: rate "50" has no unit of time: a rate is N/UNIT such as 10/s, 100/m, 5000/h, 0.5/s or 2/10s, in bytes 500KB/s or 1MiB/s, or inf
}

// Several limits hold at once: a grant counts for all of them, or for none.
func ExampleNewAll() {
	p := pacer.NewAll(pacer.Limits{
		pacer.Per(15, time.Minute).With(pacer.SlidingWindow),
		pacer.Per(100, time.Hour).With(pacer.SlidingWindow),
	})
	for range 15 {
		p.Try()
	}
	granted, wait := p.Try()
	fmt.Println(granted, wait.Round(time.Second))
	for _, u := range p.Usage() {
		fmt.Printf("%v: %d of %d left\n", u.Limit, u.Remaining, u.Quota)
	}
	// Output:
	// false 1m0s
	// 15/m,algorithm=sliding-window: 0 of 15 left
	// 100/h,algorithm=sliding-window: 85 of 100 left
}

// Do waits for a grant and calls a function.
func ExamplePacer_Do() {
	p := pacer.New(pacer.Per(20, time.Second))
	err := p.Do(context.Background(), func(context.Context) error {
		fmt.Println("called")
		return nil
	})
	fmt.Println(err)
	// Output:
	// called
	// <nil>
}

// A registry has a pacer for each service; names do not hold each other up.
func ExampleRegistry() {
	r := pacer.NewRegistry(pacer.RegistryOptions{})
	fmt.Println(r.Add("mail", pacer.Per(10, time.Hour)), r.Add("search", pacer.Every(100*time.Millisecond)))
	fmt.Println(r.Wait(context.Background(), "mail"))
	fmt.Println(r.Wait(context.Background(), "search"))
	fmt.Println(r.Remove("mail"), r.Wait(context.Background(), "mail"))
	// Output:
	// <nil> <nil>
	// <nil>
	// <nil>
	// true unknown name "mail"
}

// A queue with a capacity: who would be one too many is refused.
func ExampleWithQueue() {
	p := pacer.New(pacer.Every(time.Hour), pacer.WithQueue(1))
	for range 3 {
		_, err := p.Reserve()
		fmt.Println(err)
	}
	// Output:
	// <nil>
	// <nil>
	// the queue is full: 1 wait
}
