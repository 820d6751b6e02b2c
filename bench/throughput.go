//go:build unix

package main

import "fmt"

// throughput measures how fast lines pass that nothing holds back.
func throughput() section {
	return section{
		name:  "pipe",
		title: "Throughput of a pipe",
		about: "20 million lines without a limit: `cat FILE | throttle --rate inf` against `pv -lq` in the same place, where FILE is in the\n" +
			"page cache. Wall time of the whole pipe, and CPU of throttle or pv alone.",
		measure: func(b *bench) ([]row, error) {
			n := 20_000_000
			if b.quick {
				n /= 10
			}
			file, err := b.lines(n)
			if err != nil {
				return nil, err
			}
			defer file.Close() //nolint:errcheck // it is synced
			var rows []row
			for _, consumer := range [][]string{nil, {"cat"}} {
				more, err := b.throughputTo(consumer, file.Name(), n)
				if err != nil {
					return nil, err
				}
				rows = append(rows, more...)
			}
			return rows, nil
		},
	}
}

// throughputTo measures with a consumer at the end of the pipe, or with none: then it is /dev/null that is written to.
func (b *bench) throughputTo(consumer []string, file string, n int) ([]row, error) {
	through := func(argv ...string) side {
		pipe := [][]string{{"cat", file}, argv}
		if consumer != nil {
			pipe = append(pipe, consumer)
		}
		return func() ([]float64, error) {
			u, err := pipeline(nil, pipe...)
			return []float64{u.wall.Seconds(), u.cpu.Seconds()}, err
		}
	}
	sides := []side{through(b.throttle, "--rate", "inf")}
	if !b.missing["pv"] {
		sides = append(sides, through("pv", "-lq"))
	}
	all, err := takeTurns(3*b.rounds, sides...) // they are short, so what else the machine does weighs more
	if err != nil {
		return nil, err
	}
	to := fmt.Sprintf("%g million lines to ", float64(n)/1e6)
	if consumer == nil {
		to += "/dev/null"
	} else {
		to += consumer[0]
	}
	rows := []row{{what: to, unit: seconds(), ours: all[0][0]}, {what: to + ", CPU", unit: seconds(), ours: all[0][1]}}
	if len(all) > 1 {
		for i := range rows {
			rows[i].peer, rows[i].theirs = "pv -lq", all[1][i]
		}
		rows[0].goal, rows[0].most = relative, 1
	}
	return rows, nil
}
