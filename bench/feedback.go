//go:build unix

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/throttle-cli/throttle/bench/limited"
)

// answers measures how four processes on one key get along with a server that lets fewer requests through than they were
// told, and more later.
func answers() section {
	return section{
		name:  "answers",
		title: "Answers of the remote",
		about: "500 calls of `curl -sf` by 4 processes with `--rate 40/s --key k --preset curl --adaptive`, to a server that lets 20 a second\n" +
			"through, and 40 from 10 s on. Above that it answers 429 with Retry-After: 1. One round.",
		measure: func(b *bench) ([]row, error) {
			if b.missing["curl"] {
				return nil, nil
			}
			calls := 500
			if b.quick {
				calls /= 5
			}
			return b.calls(4, calls)
		},
	}
}

func (b *bench) calls(processes, calls int) ([]row, error) {
	s := &limited.Server{Rate: 20, Burst: 5, RetryAfter: 1}
	url, stop, err := s.Listen()
	if err != nil {
		return nil, err
	}
	defer stop()
	raised := time.AfterFunc(10*time.Second, func() { s.SetRate(40) })
	defer raised.Stop()
	state := filepath.Join(b.dir, "answers")
	each := calls / processes
	var running []*exec.Cmd
	for i := range processes {
		var lines strings.Builder
		for n := range each {
			fmt.Fprintf(&lines, "%d\n", i*each+n)
		}
		c := exec.Command(b.throttle, "--rate", "40/s", "--state", state, "--preset", "curl", "--adaptive", "-j", "8", "--", "curl", "-sf", url+"/{}")
		c.Stdin = strings.NewReader(lines.String())
		c.Stderr = os.Stderr
		if err := c.Start(); err != nil {
			return nil, err
		}
		running = append(running, c)
	}
	for _, c := range running {
		if err := c.Wait(); err != nil {
			return nil, fmt.Errorf("%q: %w", c.Args, err)
		}
	}
	counts := s.Counts()
	sum := func(from, to int) (n limited.Count) {
		for _, c := range counts[min(from, len(counts)):min(to, len(counts))] {
			n.OK += c.OK
			n.Throttled += c.Throttled
		}
		return n
	}
	all := sum(0, len(counts))
	share := func(n limited.Count) figure { return figure{float64(n.Throttled) / float64(max(1, n.OK+n.Throttled))} }
	rows := []row{
		{what: "calls that succeeded", unit: number(), ours: figure{float64(all.OK)}},
		{what: "answers 429 of all", unit: percent(), ours: share(all), goal: absolute, most: 0.05},
	}
	for from := 0; from < len(counts); from += 5 {
		n := sum(from, from+5)
		rows = append(rows, row{
			what: fmt.Sprintf("second %d to %d: calls a second, with %d answers 429", from, from+5, n.Throttled), unit: perSecond(),
			ours: figure{float64(n.OK) / float64(min(5, len(counts)-from))},
		})
	}
	return rows, nil
}
