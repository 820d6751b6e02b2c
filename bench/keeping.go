//go:build unix

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/throttle-cli/throttle/internal/journal"
)

// keeping measures what it costs to look at how attempts end, to write them down and to show them.
func keeping() section {
	return section{
		name:  "keeping",
		title: "Attempts, journal, progress",
		about: "`true` for each of 5,000 lines without a limit, `-j 2`, with the flags of the row next to the same without them. Wall time.\n" +
			"And two rows of the journal, start and end of an attempt, as one process writes them.",
		measure: func(b *bench) ([]row, error) {
			n := 5000
			if b.quick {
				n /= 10
			}
			file, err := b.lines(n)
			if err != nil {
				return nil, err
			}
			defer file.Close() //nolint:errcheck // it is synced
			path := filepath.Join(b.dir, "journal")
			each := func(flags ...string) side {
				return func() ([]float64, error) {
					_ = os.Remove(path) // of the round before
					argv := append([]string{b.throttle, "--rate", "inf", "-j", "2"}, flags...)
					u, err := fromFile(file, append(argv, "--", "/bin/true")...)
					return []float64{u.wall.Seconds()}, err
				}
			}
			kept := []struct {
				what  string
				flags []string
			}{
				{"`--attempts 3`", []string{"--attempts", "3"}},
				{"`--journal`", []string{"--journal", path}},
				{"`--progress`", []string{"--progress"}},
				{"all of them", []string{"--attempts", "3", "--journal", path, "--progress"}},
			}
			sides := []side{each()}
			for _, k := range kept {
				sides = append(sides, each(k.flags...))
			}
			all, err := takeTurns(b.rounds, append(sides, b.journal)...)
			if err != nil {
				return nil, err
			}
			var rows []row
			for i, k := range kept {
				rows = append(rows, row{
					what: fmt.Sprintf("%d commands, %s", n, k.what), unit: seconds(), ours: all[i+1][0], peer: "throttle without", theirs: all[0][0],
					goal: relative, most: 1.1,
				})
			}
			// 5,000 rows a second are 200 us each.
			return append(rows, row{what: "a row of the journal", unit: microseconds(), ours: all[len(sides)][0], goal: absolute, most: 200e-6}), nil
		},
	}
}

// journal writes the rows of attempts, and returns the time of one row.
func (b *bench) journal() ([]float64, error) {
	const attempts = 20_000
	path := filepath.Join(b.dir, "rows")
	_ = os.Remove(path) // of the round before
	j, err := journal.Open(path, journal.Options{Mode: "lines"})
	if err != nil {
		return nil, err
	}
	start := time.Now()
	for i := range attempts {
		input := []byte("snap-" + strconv.Itoa(i))
		item := j.Ledger().Item(input)
		if err := j.Start(journal.Start{Item: item, Seq: i + 1, Attempt: 1, Slot: 1, Input: input}); err != nil {
			return nil, err
		}
		if err := j.End(journal.End{Item: item, Seq: i + 1, Attempt: 1, Outcome: journal.OK}); err != nil {
			return nil, err
		}
	}
	took := time.Since(start)
	return []float64{took.Seconds() / (2 * attempts)}, j.Close()
}
