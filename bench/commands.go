//go:build unix

package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
)

// commands measures what a command costs that does nothing.
func commands() section {
	return section{
		name:  "commands",
		title: "Commands",
		about: "`true` for each of 2,000 lines without a limit, with the same `-j`. xargs leaves output to its commands, as `--ungroup` does;\n" +
			"throttle and GNU parallel carry it. Wall time.",
		measure: func(b *bench) ([]row, error) {
			n := 2000
			if b.quick {
				n /= 10
			}
			file, err := b.lines(n)
			if err != nil {
				return nil, err
			}
			defer file.Close() //nolint:errcheck // it is synced
			jobs := []int{1, runtime.NumCPU(), 8}
			slices.Sort(jobs)
			var rows []row
			for _, j := range slices.Compact(jobs) {
				more, err := b.commandsAtOnce(j, n, file)
				if err != nil {
					return nil, err
				}
				rows = append(rows, more...)
			}
			return rows, nil
		},
	}
}

// commandsAtOnce measures with j commands at once.
func (b *bench) commandsAtOnce(j, n int, lines *os.File) ([]row, error) {
	const command = "/bin/true"
	jobs := strconv.Itoa(j)
	each := func(argv ...string) side {
		return func() ([]float64, error) {
			u, err := fromFile(lines, append(argv, command)...)
			return []float64{u.wall.Seconds()}, err
		}
	}
	sides := []side{
		each(b.throttle, "--rate", "inf", "-j", jobs, "--"),
		each(b.throttle, "--rate", "inf", "-j", jobs, "--ungroup", "--"),
	}
	compared := map[string]int{} // the side of each peer
	for _, peer := range []struct {
		name string
		argv []string
	}{
		{"xargs", []string{"xargs", "-n1", "-P", jobs}},
		{"parallel", []string{"parallel", "-j", jobs}},
	} {
		if !b.missing[peer.name] {
			compared[peer.name] = len(sides)
			sides = append(sides, each(peer.argv...))
		}
	}
	all, err := takeTurns(b.rounds, sides...)
	if err != nil {
		return nil, err
	}
	what := fmt.Sprintf("%d commands, `-j %d`", n, j)
	var rows []row
	if i, ok := compared["xargs"]; ok {
		r := row{what: what, unit: seconds(), peer: "xargs -n1 -P", theirs: all[i][0]}
		r.ours, r.goal, r.most = all[0][0], relative, 1
		ungrouped := row{what: what + " `--ungroup`", unit: seconds(), ours: all[1][0], peer: r.peer, theirs: r.theirs}
		rows = append(rows, r, ungrouped)
	}
	if i, ok := compared["parallel"]; ok {
		rows = append(rows, row{what: what, unit: seconds(), ours: all[0][0], peer: "parallel", theirs: all[i][0], goal: relative, most: 0.2})
	}
	if len(rows) == 0 {
		rows = append(rows, row{what: what, unit: seconds(), ours: all[0][0]})
	}
	return rows, nil
}
