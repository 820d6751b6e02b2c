// Command algorithms draws when the grants of each algorithm come, from runs of throttle that take some three minutes:
//
//	go run ./bench/algorithms > docs/algorithms.svg
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

func main() {
	runs, err := runAll(rows())
	if err == nil {
		err = draw(os.Stdout, rows(), runs)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "algorithms:", err)
		os.Exit(1)
	}
}

const (
	length = 150 * time.Second
	asked  = 24               // at once, at the start
	then   = 95 * time.Second // and one each two seconds from here on
	more   = 12
)

func rows() []string {
	return []string{
		"10/m", "10/m,burst=4", "10/m,algorithm=token-bucket", "10/m,algorithm=sliding-window",
		"10/m,algorithm=fixed-window", "10/m,align=minute", "10/m,algorithm=sliding-window and 1/4s",
	}
}

// phase is how long after a whole minute the runs begin.
const phase = 20 * time.Second

// runAll runs throttle with the rates of each row, all at the same time, and returns when the lines came.
func runAll(names []string) ([][]time.Duration, error) {
	dir, err := os.MkdirTemp("", "throttle-algorithms-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // the system will
	program := filepath.Join(dir, "throttle")
	build := exec.Command("go", "build", "-o", program, ".")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return nil, err
	}
	now := time.Now()
	time.Sleep(time.Until(now.Truncate(time.Minute).Add(time.Minute + phase)))
	runs, errs := make([][]time.Duration, len(names)), make([]error, len(names))
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() { runs[i], errs[i] = run(program, name) })
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return runs, nil
}

// run returns when the lines came that were written to throttle.
func run(program, name string) (at []time.Duration, err error) {
	var args []string
	for rate := range strings.SplitSeq(name, " and ") {
		args = append(args, "--rate", rate)
	}
	c := exec.Command(program, args...)
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	start := time.Now()
	if err := c.Start(); err != nil {
		return nil, err
	}
	go func() {
		_, _ = io.WriteString(in, strings.Repeat("line\n", asked)) // one that is not there does not come
		for i := range more {
			time.Sleep(time.Until(start.Add(then + time.Duration(i)*2*time.Second)))
			_, _ = io.WriteString(in, "line\n")
		}
		_ = in.Close()
	}()
	stop := time.AfterFunc(length, func() { _ = c.Process.Kill() })
	defer stop.Stop()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		at = append(at, time.Since(start))
	}
	_ = c.Wait() // it was killed, or all has come
	return at, nil
}

// Where the picture has what, in its units.
const (
	width       = 760
	left, right = 24, 736
	top, row    = 44, 46
)

func x(t time.Duration) float64 { return left + (right-left)*t.Seconds()/length.Seconds() }

// together is how near to each other lines are drawn as one pile.
const together = 100 * time.Millisecond

// describe has a run as text, in seconds.
func describe(name string, at []time.Duration) string {
	var b strings.Builder
	b.WriteString(name + ":")
	for _, t := range at {
		fmt.Fprintf(&b, " %.3f", t.Seconds())
	}
	return b.String()
}

// draw writes the picture, as SVG.
func draw(w io.Writer, names []string, runs [][]time.Duration) error {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	height := top + row*len(names) + 30
	line(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12" fill="#333">`, width, height)
	line(`<title>When grants come under each algorithm</title>`)
	line(`<rect width="%d" height="%d" fill="#fff"/>`, width, height)
	line(`<text x="%d" y="18">%d are asked for at once at 0 s, and %d more from %.0f s on, one each 2 s; the clock shows 20 s past a minute at 0 s</text>`,
		left, asked, more, then.Seconds())
	bottom := top + row*len(names)
	for t := time.Duration(0); t <= length; t += 10 * time.Second {
		line(`<path d="M%.1f %dV%d" stroke="#e4e4e4"/>`, x(t), top-14, bottom)
		if t%(30*time.Second) == 0 {
			line(`<text x="%.1f" y="%d" text-anchor="middle">%.0f s</text>`, x(t), bottom+17, t.Seconds())
		}
	}
	for i, name := range names {
		y := top + row*i
		line(`<text x="%d" y="%d">%s</text>`, left, y+4, name)
		line(`<path d="M%d %dH%d" stroke="#bbb"/>`, left, y+30, right)
		line(`<desc>%s</desc>`, describe(name, runs[i]))
		stack, before := 0, time.Duration(-1)
		for _, at := range runs[i] {
			if stack++; at-before > together {
				stack, before = 0, at
			}
			line(`<rect x="%.1f" y="%.1f" width="3" height="2.2" fill="#1565c0"/>`, x(at)-1.5, float64(y)+27.5-2.6*float64(stack))
		}
	}
	line(`</svg>`)
	_, err := io.WriteString(w, b.String())
	return err
}
