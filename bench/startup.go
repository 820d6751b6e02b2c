//go:build unix

package main

// startUp measures what it takes to start.
func startUp() section {
	return section{
		name:  "start-up",
		title: "Start-up",
		about: "`throttle --version` against a Go program that does nothing, by turns. A round is the median of 200 runs of each.",
		measure: func(b *bench) ([]row, error) {
			runs := 200
			if b.quick {
				runs /= 10
			}
			round := func() ([]float64, error) {
				var wall, cpu [2]figure
				for range runs {
					for i, argv := range [][]string{{b.throttle, "--version"}, {b.empty}} {
						u, err := toEnd(argv...)
						if err != nil {
							return nil, err
						}
						wall[i] = append(wall[i], u.wall.Seconds())
						cpu[i] = append(cpu[i], u.cpu.Seconds())
					}
				}
				return []float64{wall[0].median(), wall[1].median(), cpu[0].median(), cpu[1].median()}, nil
			}
			all, err := takeTurns(b.rounds, round)
			if err != nil {
				return nil, err
			}
			f := all[0]
			const peer = "empty program"
			return []row{
				{what: "wall time", unit: milliseconds(), ours: f[0], peer: peer, theirs: f[1], goal: relative, most: 1.8},
				{what: "CPU", unit: milliseconds(), ours: f[2], peer: peer, theirs: f[3]},
			}, nil
		},
	}
}
