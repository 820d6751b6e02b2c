// Command adaptive draws how a rate that feedback cuts recovers, from the arithmetic that grants go by:
//
//	go run ./bench/adaptive > docs/adaptive.svg
package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

func main() {
	if err := draw(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "adaptive:", err)
		os.Exit(1)
	}
}

// The limit that is set, what the remote lets through, and how long it takes to answer.
const (
	limit  = 100 // a second
	length = 3 * time.Minute
	answer = 50 * time.Millisecond
	burst  = 10
)

// remote returns how many a second the remote lets through.
func remote(t time.Duration) float64 {
	if t < 2*time.Minute {
		return 60
	}
	return 100
}

// A course is what happens to the rate.
type course struct {
	rate   []sample
	events []time.Duration // the remote throttles
	cool   [][2]time.Duration
	sent   int
	turned int // away
}

// A sample is the effective rate from a time on.
type sample struct {
	at   time.Duration
	rate float64
}

// A reply is one that the remote has throttled, under way to the one who asked.
type reply struct{ slot, at int64 }

// run has grants at the rate, and a remote that lets fewer through.
func run() (c course) {
	s := pacer.NewSchedule(pacer.Per(limit, time.Second))
	rng := rand.New(rand.NewPCG(1, 2)) // the same each time: the picture is part of the docs
	tokens, last := float64(burst), int64(0)
	var replies []reply
	sampled := time.Duration(0)
	for turn := int64(0); ; {
		at, _ := s.Slot(turn, 1)
		if len(replies) > 0 && replies[0].at <= at { // it is known before the next one starts
			r := replies[0]
			replies = replies[1:]
			c.note(&s, &sampled, time.Duration(r.at))
			if s.Throttled(r.at, r.slot, pacer.Feedback{Adaptive: true}, rng.Uint64()) {
				c.events = append(c.events, time.Duration(r.at))
				until, _ := s.Until(r.at)
				c.cool = append(c.cool, [2]time.Duration{time.Duration(r.at), time.Duration(until)})
			}
			continue
		}
		if time.Duration(at) > length {
			c.note(&s, &sampled, length)
			return c
		}
		c.note(&s, &sampled, time.Duration(at))
		s.Take(turn, 1)
		turn = at
		c.sent++
		tokens = min(tokens+float64(at-last)/1e9*remote(time.Duration(at)), burst)
		last = at
		if tokens < 1 {
			c.turned++
			replies = append(replies, reply{slot: at, at: at + int64(answer)})
			continue
		}
		tokens--
	}
}

// note takes samples of the effective rate up to a time.
func (c *course) note(s *pacer.Schedule, sampled *time.Duration, to time.Duration) {
	for ; *sampled <= to; *sampled += answer {
		rate := float64(s.Effective(int64(*sampled)).Rate())
		if n := len(c.rate); n == 0 || c.rate[n-1].rate != rate {
			c.rate = append(c.rate, sample{*sampled, rate})
		}
	}
}

// Where the picture has what, in its units.
const (
	width, height = 760, 300
	left, right   = 52, 736
	top, bottom   = 34, 256
)

func x(t time.Duration) float64 { return left + (right-left)*t.Seconds()/length.Seconds() }

func y(rate float64) float64 { return bottom - (bottom-top)*rate/(1.1*limit) }

// draw writes the picture, as SVG.
func draw(w io.Writer) error {
	c := run()
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12" fill="#333">`, width, height)
	line(`<title>The effective rate of a key with a limit of %d/s, when the remote lets 60/s through, and after two minutes 100/s</title>`, limit)
	line(`<rect width="%d" height="%d" fill="#fff"/>`, width, height)
	for rate := 0.0; rate <= limit; rate += 20 {
		line(`<path d="M%d %.1fH%d" stroke="#e4e4e4"/>`, left, y(rate), right)
		line(`<text x="%d" y="%.1f" text-anchor="end">%.0f/s</text>`, left-6, y(rate)+4, rate)
	}
	for t := time.Duration(0); t <= length; t += 30 * time.Second {
		line(`<text x="%.1f" y="%d" text-anchor="middle">%.0f s</text>`, x(t), bottom+17, t.Seconds())
	}
	for _, p := range c.cool {
		line(`<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="#c33" fill-opacity="0.25"/>`, x(p[0]), top, max(x(p[1])-x(p[0]), 1), bottom-top)
	}
	line(`<path d="M%d %.1fH%.1fV%.1fH%d" stroke="#888" stroke-dasharray="5 4" fill="none"/>`, left, y(remote(0)), x(2*time.Minute), y(remote(length)), right)
	var path strings.Builder
	for i, s := range c.rate {
		if i == 0 {
			fmt.Fprintf(&path, "M%.1f %.1f", x(s.at), y(s.rate))
			continue
		}
		fmt.Fprintf(&path, "H%.1fV%.1f", x(s.at), y(s.rate))
	}
	line(`<path d="%sH%d" stroke="#1565c0" stroke-width="2" fill="none"/>`, path.String(), right)
	line(`<g font-size="12"><path d="M%d 16h24" stroke="#1565c0" stroke-width="2"/><text x="%d" y="20">effective rate</text>`, left, left+30)
	line(`<path d="M%d 16h24" stroke="#888" stroke-dasharray="5 4"/><text x="%d" y="20">what the remote lets through</text>`, left+140, left+170)
	line(`<rect x="%d" y="9" width="14" height="14" fill="#c33" fill-opacity="0.25"/><text x="%d" y="20">cooldown</text></g>`, left+360, left+380)
	line(`<text x="%d" y="%d">limit %d/s; %d sent in %.0f s, %d of them throttled, in %d events</text>`, left, height-8, limit, c.sent, length.Seconds(), c.turned, len(c.events))
	line(`</svg>`)
	_, err := io.WriteString(w, b.String())
	return err
}
