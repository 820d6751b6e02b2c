// Package storecheck says what came of a look at a store.
package storecheck

import "time"

// A Report is what a look at a store has found.
type Report struct {
	Store     string        // its URL, without user and password
	Server    string        // what it is, and of which version: "Redis 7.0.15, standalone"
	RoundTrip time.Duration // of a call, the shortest of a few
	Median    time.Duration // the median of them
	// What the clock of this host is ahead of the server's, at the least and at the most; both are zero where the server tells no time.
	AheadLeast, AheadMost time.Duration
	Problems              []Problem
}

// A Problem is what is wrong, and what to do about it.
type Problem struct {
	What    string
	Do      string
	Serious bool // the store can't be used
}

// Add adds a problem.
func (r *Report) Add(serious bool, what, do string) {
	r.Problems = append(r.Problems, Problem{What: what, Do: do, Serious: serious})
}

// Serious reports whether the store can't be used.
func (r *Report) Serious() bool {
	for _, p := range r.Problems {
		if p.Serious {
			return true
		}
	}
	return false
}
