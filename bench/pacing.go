//go:build unix

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"time"
)

// pacing measures how exactly lines come.
func pacing() section {
	return section{
		name:  "pacing",
		title: "Pacing",
		about: "Lines for 10 s at each rate, from a pipe that always holds more. A reader takes the monotonic time of each read from the\n" +
			"pipe that throttle writes to. Line k (from 0) is early if it comes less than k intervals after the first line was let in,\n" +
			"which is when slot 0 can be at the earliest; the most of all rounds counts. CPU is of one core.",
		measure: func(b *bench) ([]row, error) {
			var rows []row
			for _, rate := range []int{10, 100, 1000, 10_000, 100_000} {
				more, err := b.pacingAt(rate)
				if err != nil {
					return nil, err
				}
				rows = append(rows, more...)
			}
			return rows, nil
		},
	}
}

// comparedRate is the rate at which throttle is compared with pv, and at which gaps and CPU have targets.
const comparedRate = 1000

func (b *bench) pacingAt(rate int) ([]row, error) {
	length := 10 * time.Second
	if b.quick {
		length = 2 * time.Second
	}
	sides := []side{func() ([]float64, error) {
		return pace(rate, length, b.throttle, "--rate", fmt.Sprintf("%d/s", rate))
	}}
	if rate == comparedRate && !b.missing["pv"] {
		sides = append(sides, func() ([]float64, error) { return pace(rate, length, "pv", "-qlL", strconv.Itoa(rate)) })
	}
	all, err := takeTurns(b.rounds, sides...)
	if err != nil {
		return nil, err
	}
	at := fmt.Sprintf(" at %d/s", rate)
	rows := []row{
		{what: "rate error" + at, unit: percent(), goal: absolute, most: 0.1e-2},
		{what: "early lines" + at, unit: number(), goal: absolute, most: 0, worst: true},
		{what: "standard deviation of gaps" + at, unit: milliseconds()},
		{what: "CPU" + at, unit: percent()},
	}
	if rate == comparedRate {
		rows[2].goal, rows[2].most = absolute, 0.3e-3
		rows[3].goal, rows[3].most = absolute, 10e-2
	}
	for i := range rows {
		rows[i].ours = all[0][i]
		if len(all) > 1 {
			rows[i].peer, rows[i].theirs = "pv -qlL", all[1][i]
		}
	}
	return rows, nil
}

// settled is how long a command is given to be ready for its input.
const settled = 100 * time.Millisecond

// pace has a command pass lines on at a rate for a while, and returns the error of the rate, the number of early lines,
// the standard deviation of the gaps in seconds, and the CPU it took as a fraction of one core.
func pace(rate int, length time.Duration, argv ...string) ([]float64, error) {
	stdin, feed, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	out, stdout, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer out.Close() //nolint:errcheck // it was only read
	out.Fd()          // from now on reads block in the kernel, which wakes us sooner than the Go scheduler does
	p, err := start(stdin, stdout, argv...)
	_, _ = stdin.Close(), stdout.Close()
	if err != nil {
		return nil, err
	}
	time.Sleep(settled)
	lines := int(length.Seconds()*float64(rate)) + 1
	letIn := time.Now()
	fed := make(chan error, 1)
	go func() { fed <- errors.Join(writeLines(feed, lines), feed.Close()) }()
	seen, err := watch(out, rate, letIn)
	if err != nil {
		return nil, err
	}
	took := time.Since(letIn)
	u, err := p.end()
	if err := errors.Join(err, <-fed); err != nil {
		return nil, err
	}
	if seen.lines != lines {
		return nil, fmt.Errorf("%q: %d lines of %d came", argv, seen.lines, lines)
	}
	return []float64{seen.rateError(rate), float64(seen.early), seen.deviation(), u.cpu.Seconds() / took.Seconds()}, nil
}

// writeLines writes n short lines.
func writeLines(w io.Writer, n int) error {
	const atOnce = 16 << 10
	block := bytes.Repeat([]byte("x\n"), atOnce)
	for ; n > 0; n -= atOnce {
		if _, err := w.Write(block[:2*min(n, atOnce)]); err != nil {
			return err
		}
	}
	return nil
}

// A watched stream is summed up as it comes, so that nothing has to be kept. Times are since the first line was let in.
type watched struct {
	lines, early int
	first, last  time.Duration
	squares      float64 // of the gaps, in s^2
}

// watch reads lines to the end. Those that come in one read come at the time of that read.
func watch(r io.Reader, rate int, letIn time.Time) (watched, error) {
	var w watched
	buf := make([]byte, 64<<10)
	for {
		n, err := r.Read(buf)
		now := time.Since(letIn)
		if lines := bytes.Count(buf[:n], []byte{'\n'}); lines > 0 {
			w.add(lines, now, rate)
		}
		if errors.Is(err, io.EOF) {
			return w, nil
		}
		if err != nil {
			return w, err
		}
	}
}

func (w *watched) add(lines int, now time.Duration, rate int) {
	if w.lines == 0 {
		w.first, w.last = now, now
	}
	gap := (now - w.last).Seconds()
	w.squares += gap * gap // the other lines of this read have gaps of 0
	w.last = now
	due := int(int64(now)*int64(rate)/int64(time.Second)) + 1 // how many lines may have come by now
	w.early += min(max(w.lines+lines-due, 0), lines)
	w.lines += lines
}

// rateError returns by what fraction the rate was missed, between the first line and the last.
func (w *watched) rateError(rate int) float64 {
	return math.Abs(float64(w.lines-1)/(w.last-w.first).Seconds()/float64(rate) - 1)
}

// deviation returns the standard deviation of the gaps between lines in seconds:
// sqrt(E[gap^2] - E[gap]^2).
func (w *watched) deviation() float64 {
	gaps := float64(w.lines - 1)
	mean := (w.last - w.first).Seconds() / gaps
	return math.Sqrt(max(w.squares/gaps-mean*mean, 0))
}
