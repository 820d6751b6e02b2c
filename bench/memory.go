//go:build unix

package main

import (
	"errors"
	"fmt"
	"os"
)

// memory measures the most memory that throttle has at a time.
func memory() section {
	return section{
		name:  "memory",
		title: "Memory",
		about: "The most that was resident at a time; the most of all rounds counts. The system counts what bench itself has as the least, so an\n" +
			"empty Go program is measured too.",
		measure: func(b *bench) ([]row, error) {
			lines, size := 10_000_000, 200<<20
			if b.quick {
				lines, size = lines/10, size/10
			}
			file, err := b.lines(lines)
			if err != nil {
				return nil, err
			}
			defer file.Close() //nolint:errcheck // it is synced
			read := func(argv ...string) side {
				return func() ([]float64, error) {
					u, err := fromFile(file, argv...)
					return []float64{float64(u.rss)}, err
				}
			}
			rates := []string{"inf", "1000000/s", "5000000/s"}
			var sides []side
			var names []string
			for _, rate := range rates {
				sides = append(sides, read(b.throttle, "--rate", rate))
				names = append(names, fmt.Sprintf("%g million lines at %s", float64(lines)/1e6, rate))
			}
			sides = append(sides, func() ([]float64, error) { return longLine(size, b.throttle, "--rate", "10/s") }, read(b.empty))
			names = append(names, fmt.Sprintf("one line of %d MiB at 10/s", size>>20))
			all, err := takeTurns(b.rounds, sides...)
			if err != nil {
				return nil, err
			}
			var rows []row
			for i, name := range names {
				rows = append(rows, row{
					what: name, unit: megabytes(), ours: all[i][0], peer: "empty program", theirs: all[len(names)][0],
					worst: true, goal: absolute, most: 25e6,
				})
			}
			return rows, nil
		},
	}
}

// longLine pipes a line of so many bytes into a command, and returns the most memory it had.
func longLine(size int, argv ...string) ([]float64, error) {
	stdin, feed, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	shrink()
	p, err := start(stdin, nil, argv...)
	_ = stdin.Close()
	if err != nil {
		return nil, err
	}
	block := make([]byte, 64<<10)
	for ; size > 0 && err == nil; size -= len(block) {
		_, err = feed.Write(block[:min(size, len(block))])
	}
	err = errors.Join(err, feed.Close())
	u, endErr := p.end()
	return []float64{float64(u.rss)}, errors.Join(err, endErr)
}
