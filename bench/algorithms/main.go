// Command algorithms draws when the grants of each algorithm come, from the arithmetic that grants go by:
//
//	go run ./bench/algorithms > docs/algorithms.svg
package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

func main() {
	if err := draw(os.Stdout); err != nil {
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

// run returns when the grants come.
func run(limits pacer.Limits) (at []time.Duration) {
	s := pacer.NewSchedule(limits...)
	s.SetWall(int64(20 * time.Second)) // it begins at 20 seconds past a whole minute
	last := int64(0)
	for i := range asked + more {
		t := int64(0)
		if i >= asked {
			t = int64(then) + int64(i-asked)*int64(2*time.Second)
		}
		s.Take(max(t, last), 1)
		last, _ = s.Last()
		at = append(at, time.Duration(last))
	}
	return at
}

// Where the picture has what, in its units.
const (
	width       = 760
	left, right = 24, 736
	top, row    = 44, 46
)

func x(t time.Duration) float64 { return left + (right-left)*t.Seconds()/length.Seconds() }

// draw writes the picture, as SVG.
func draw(w io.Writer) error {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	names := rows()
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
		var limits pacer.Limits
		for _, s := range strings.Split(name, " and ") {
			l, _, err := pacer.ParseLimit(s)
			if err != nil {
				return err
			}
			limits = append(limits, l)
		}
		y := top + row*i
		line(`<text x="%d" y="%d">%s</text>`, left, y+4, name)
		line(`<path d="M%d %dH%d" stroke="#bbb"/>`, left, y+30, right)
		stack, before := 0, time.Duration(-1)
		for _, at := range run(limits) {
			if at > length {
				break
			}
			if stack++; at != before {
				stack = 0
			}
			before = at
			line(`<rect x="%.1f" y="%.1f" width="3" height="2.2" fill="#1565c0"/>`, x(at)-1.5, float64(y)+27.5-2.6*float64(stack))
		}
	}
	line(`</svg>`)
	_, err := io.WriteString(w, b.String())
	return err
}
