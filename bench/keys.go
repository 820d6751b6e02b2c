//go:build unix

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

const (
	manyKeys   = 10_000
	keyRate    = 10   // a second, of each of them
	aheadLines = 1000 // --max-read-ahead, unless another is given
)

// keys measures lines that have keys of their own.
func keys() section {
	return section{
		name:  "keys",
		title: "Lines with keys of their own",
		about: "Each line has one of 10,000 keys by chance, as `throttle --key '{1}' --colsep ' ' --rate 10/s < FILE` has them, next to a\n" +
			"tenth of the lines and to a plain pipe. The state files are new. Memory is the most that was resident, of which what bench\n" +
			"itself has is the least; the most of all rounds counts. A line is due when it has been read, which it is once all but 999 of\n" +
			"the lines before it have been written, and an interval of 100 ms has passed since the line before it of its key was due:\n" +
			"what it comes later than that it has waited for something else than its limit. So a key that starves would be seen, and\n" +
			"one that is a little behind each time, too.\n" +
			"Three keys: lines of 1/s, 10/s and 100/s mixed, as many as come in 5 s, and those of the slowest alone. Wall time.",
		measure: func(b *bench) ([]row, error) {
			state := filepath.Join(b.dir, "keys")
			if err := os.Setenv("THROTTLE_STATE_DIR", state); err != nil {
				return nil, err
			}
			defer os.RemoveAll(state) //nolint:errcheck // it is temporary
			rows, err := b.keyed(state)
			if err != nil {
				return nil, err
			}
			more, err := b.threeKeys(state)
			return append(rows, more...), err
		},
	}
}

// keyed measures memory, throughput and fairness with many keys.
func (b *bench) keyed(state string) ([]row, error) {
	n := 1_000_000
	if b.quick {
		n /= 10
	}
	file, err := b.keyedLines(n)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // it is synced
	few, err := b.keyedLines(n / 10)
	if err != nil {
		return nil, err
	}
	defer few.Close() //nolint:errcheck // it is synced
	keyed := func(f *os.File, n int) side {
		return func() ([]float64, error) {
			if err := os.RemoveAll(state); err != nil {
				return nil, err
			}
			return passKeyed(f, n, b.throttle, "--key", "{1}", "--colsep", " ", "--rate", fmt.Sprintf("%d/s", keyRate))
		}
	}
	plain := func() ([]float64, error) {
		u, err := fromFile(file, b.throttle, "--rate", "1000000/s")
		return []float64{float64(u.rss)}, err
	}
	all, err := takeTurns(b.rounds, keyed(file, n), keyed(few, n/10), plain)
	if err != nil {
		return nil, err
	}
	const rss, rate, late, latest = 0, 1, 2, 3
	what := fmt.Sprintf("%d lines, %d keys: ", n, manyKeys)
	fewer := fmt.Sprintf("%d lines", n/10)
	return []row{
		{what: what + "memory", unit: megabytes(), ours: all[0][rss], peer: fewer, theirs: all[1][rss], worst: true, goal: relative, most: 1.2},
		{what: what + "memory", unit: megabytes(), ours: all[0][rss], peer: "without keys", theirs: all[2][rss], worst: true},
		{what: what + "lines", unit: perSecond(), ours: all[0][rate], peer: fewer, theirs: all[1][rate]},
		{what: what + "after a line was due, mean", unit: milliseconds(), ours: all[0][late]},
		{what: what + "after a line was due, most", unit: milliseconds(), ours: all[0][latest], worst: true, goal: absolute, most: 1},
	}, nil
}

// keyOf returns the key of a line: by chance, and the same each time.
func keyOf(line int) int {
	x := uint64(line) + 0x9e3779b97f4a7c15 // splitmix64
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return int((x ^ x>>31) % manyKeys)
}

// keyedLines makes a file with n lines "KEY NUMBER".
func (b *bench) keyedLines(n int) (*os.File, error) {
	f, err := os.Create(filepath.Join(b.dir, fmt.Sprintf("%d-keyed", n)))
	if err != nil {
		return nil, err
	}
	w := bufio.NewWriter(f)
	for i := range n {
		_, _ = fmt.Fprintf(w, "key-%d %d\n", keyOf(i), i) // Flush says it
	}
	return f, errors.Join(w.Flush(), f.Sync())
}

// passKeyed has a command pass on lines that keyedLines has made. It returns the most memory that it had, the lines a second, and
// how much later than due a line came: the mean and the most, in seconds.
func passKeyed(f *os.File, n int, argv ...string) ([]float64, error) {
	if _, err := f.Seek(0, 0); err != nil {
		return nil, err
	}
	out, stdout, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer out.Close() //nolint:errcheck // it was only read
	out.Fd()          // reads block in the kernel, as in pace
	shrink()
	p, err := start(f, stdout, argv...)
	_ = stdout.Close()
	if err != nil {
		return nil, err
	}
	k := newKeyWatch(n)
	if err := k.watch(out, p.start); err != nil {
		return nil, err
	}
	u, err := p.end()
	if err != nil {
		return nil, err
	}
	if len(k.written) != n {
		return nil, fmt.Errorf("%q: %d lines of %d came", argv, len(k.written), n)
	}
	return []float64{float64(u.rss), float64(n) / u.wall.Seconds(), k.late.Seconds() / float64(n), k.latest.Seconds()}, nil
}

// A keyWatch knows how lines with keys come. Times are since the start.
type keyWatch struct {
	written      []time.Duration         // when the first came, the second and so on
	due          [manyKeys]time.Duration // when the last line of the key was
	next         [manyKeys]int           // the least number that its next line may have; 0 before the first
	late, latest time.Duration
}

func newKeyWatch(n int) *keyWatch { return &keyWatch{written: make([]time.Duration, 0, n)} }

// watch reads lines to the end.
func (k *keyWatch) watch(r io.Reader, start time.Time) error {
	buf := make([]byte, 64<<10)
	kept := 0
	for {
		n, err := r.Read(buf[kept:])
		now := time.Since(start)
		rest := buf[:kept+n]
		for {
			line, after, ok := bytes.Cut(rest, []byte{'\n'})
			if !ok {
				break
			}
			if err := k.add(line, now); err != nil {
				return err
			}
			rest = after
		}
		kept = copy(buf, rest)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// add adds a line that has come.
func (k *keyWatch) add(line []byte, now time.Duration) error {
	_, text, _ := bytes.Cut(line, []byte{' '})
	n, err := strconv.Atoi(string(text))
	key := keyOf(n)
	if err != nil || n < k.next[key] {
		return fmt.Errorf("%q is not in order, or no line of ours", line)
	}
	k.written = append(k.written, now)
	var due time.Duration
	if n >= aheadLines {
		due = k.written[n-aheadLines]
	}
	if k.next[key] > 0 {
		due = max(due, k.due[key]+time.Second/keyRate)
	}
	k.next[key], k.due[key] = n+1, due
	k.late += now - due
	k.latest = max(k.latest, now-due)
	return nil
}

// threeKeys measures keys with rates of their own in one input.
func (b *bench) threeKeys(state string) ([]row, error) {
	length := 5
	if b.quick {
		length = 2
	}
	rates := []int{1, 10, 100}
	var mixed, slowest bytes.Buffer
	for i := range length*rates[2] + 1 {
		for _, rate := range rates {
			if i*rate%rates[2] == 0 {
				fmt.Fprintf(&mixed, "three-%d %d/s %d\n", rate, rate, i)
			}
		}
		if i*rates[0]%rates[2] == 0 {
			fmt.Fprintf(&slowest, "alone-%d %d/s %d\n", rates[0], rates[0], i)
		}
	}
	pass := func(input []byte) side {
		return func() ([]float64, error) {
			if err := os.RemoveAll(state); err != nil {
				return nil, err
			}
			return b.passRates(input, rates)
		}
	}
	all, err := takeTurns(b.rounds, pass(mixed.Bytes()), pass(slowest.Bytes()))
	if err != nil {
		return nil, err
	}
	var rows []row
	for i, rate := range rates {
		rows = append(rows, row{what: fmt.Sprintf("three keys: rate error of that with %d/s", rate), unit: percent(), ours: all[0][1+i], goal: absolute, most: 0.5e-2})
	}
	return append(rows, row{what: "three keys: all lines", unit: seconds(), ours: all[0][0], peer: "the slowest alone", theirs: all[1][0], goal: relative, most: 1.01}), nil
}

// passRates passes on lines "KEY RATE NUMBER", and returns the time it took and the error of each of the rates, 0 for one that has
// no lines.
func (b *bench) passRates(input []byte, rates []int) ([]float64, error) {
	file := filepath.Join(b.dir, "rates")
	if err := os.WriteFile(file, input, 0o600); err != nil {
		return nil, err
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	out, stdout, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer out.Close() //nolint:errcheck // it was only read
	p, err := start(f, stdout, b.throttle, "--key", "{1}", "--colsep", " ", "--rate", "{2}")
	_ = stdout.Close()
	if err != nil {
		return nil, err
	}
	seen := make(map[string]*watched)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		now := time.Since(p.start)
		_, rest, _ := bytes.Cut(lines.Bytes(), []byte{' '})
		text, _, _ := bytes.Cut(rest, []byte{'/'})
		rate, err := strconv.Atoi(string(text))
		if err != nil {
			return nil, err
		}
		if seen[string(text)] == nil {
			seen[string(text)] = &watched{}
		}
		seen[string(text)].add(1, now, rate)
	}
	u, err := p.end()
	if err := errors.Join(lines.Err(), err); err != nil {
		return nil, err
	}
	figures := []float64{u.wall.Seconds()}
	for _, rate := range rates {
		e := 0.0
		if w := seen[strconv.Itoa(rate)]; w != nil {
			e = math.Abs(w.rateError(rate))
		}
		figures = append(figures, e)
	}
	return figures, nil
}
