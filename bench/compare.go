//go:build unix

package main

import (
	"fmt"
	"math"
	"slices"
)

// A figure is what was measured of one side, once for each round.
type figure []float64

// A side is one of those that are compared: it returns its figures of one round.
type side func() ([]float64, error)

// takeTurns gives each side its turn, as often as there are rounds, and returns the figures of each.
func takeTurns(rounds int, sides ...side) ([][]figure, error) {
	all := make([][]figure, len(sides))
	for range rounds {
		for i, measure := range sides {
			values, err := measure()
			if err != nil {
				return nil, err
			}
			if all[i] == nil {
				all[i] = make([]figure, len(values))
			}
			for j, v := range values {
				all[i][j] = append(all[i][j], v)
			}
		}
	}
	return all, nil
}

// median returns the one in the middle, or the mean of the two there.
func (f figure) median() float64 {
	sorted := slices.Sorted(slices.Values(f))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// ratio returns, for each round, how many times as much as g it is.
func (f figure) ratio(g figure) figure {
	r := make(figure, len(f))
	for i := range f {
		r[i] = f[i] / g[i]
	}
	return r
}

// A row is one figure of throttle, beside that of a peer where there is one.
type row struct {
	what   string
	unit   unit
	ours   figure
	peer   string // "" is none
	theirs figure
	worst  bool    // the largest counts rather than the median
	goal   goal    // what most bounds
	most   float64 // the target
}

// A goal is what the target of a row bounds.
type goal int

const (
	none     goal = iota
	absolute      // our figure
	relative      // its ratio to the peer's
)

// result is what counts of a figure.
func (r row) result(f figure) float64 {
	if r.worst {
		return slices.Max(f)
	}
	return f.median()
}

// met reports whether the row meets its target.
func (r row) met() bool {
	switch r.goal {
	case absolute:
		return r.result(r.ours) <= r.most
	case relative:
		return r.result(r.ours.ratio(r.theirs)) <= r.most
	}
	return true
}

// A unit says how a figure is written.
type unit struct {
	format string  // of one number
	scale  float64 // what it is divided by
	name   string
}

// The units of figures, which are kept in seconds, bytes and fractions of one.
func seconds() unit      { return unit{"%.2f", 1, " s"} }
func milliseconds() unit { return unit{"%.3f", 1e-3, " ms"} }
func microseconds() unit { return unit{"%.2f", 1e-6, " µs"} }
func nanoseconds() unit  { return unit{"%.1f", 1e-9, " ns"} }
func perSecond() unit    { return unit{"%.0f", 1, "/s"} }
func megabytes() unit    { return unit{"%.1f", 1e6, " MB"} }
func percent() unit      { return unit{"%.4g", 1e-2, " %"} }
func number() unit       { return unit{"%.0f", 1, ""} }

func (u unit) one(v float64) string { return fmt.Sprintf(u.format, v/u.scale) + u.name }

// show writes what counts of a figure and, in brackets, its least and most.
func (r row) show(f figure) string {
	low, high := slices.Min(f), slices.Max(f)
	s := r.unit.one(r.result(f))
	if math.Float64bits(low) != math.Float64bits(high) {
		s += fmt.Sprintf(" ("+r.unit.format+" to "+r.unit.format+")", low/r.unit.scale, high/r.unit.scale)
	}
	return s
}
