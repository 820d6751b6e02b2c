//go:build unix

// Command resume has throttle run a command for each of many items, kills it again and again, and has it go on with the input
// shuffled and extended. In the end each item must have succeeded, and run once, unless it was in flight at a kill; and
// those must be exactly the ones that throttle has reported.
//
//	go run ./bench/torture/resume -items 10000 -kills 20
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "resume:", err)
		os.Exit(1)
	}
}

// A trial is one batch, with all its runs.
type trial struct {
	binary, dir   string
	items, kills  int
	rng           *rand.Rand
	reported      map[string]int // how often an item was said to have been in flight
	journal, done string         // files: what throttle writes, and what the commands do
}

func run() error {
	items := flag.Int("items", 10_000, "how many there are in the end")
	kills := flag.Int("kills", 20, "how often throttle is killed")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "of the random numbers")
	flag.Parse()
	dir, err := os.MkdirTemp("", "resume-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	t := &trial{
		binary: filepath.Join(dir, "throttle"), dir: dir, items: *items, kills: *kills, rng: rand.New(rand.NewPCG(*seed, 0)),
		reported: make(map[string]int), journal: filepath.Join(dir, "journal"), done: filepath.Join(dir, "done"),
	}
	if out, err := exec.Command("go", "build", "-o", t.binary, "github.com/throttle-cli/throttle").CombinedOutput(); err != nil {
		return fmt.Errorf("building throttle: %w\n%s", err, out)
	}
	if err := t.runs(); err != nil {
		return fmt.Errorf("seed %d: %w", *seed, err)
	}
	again, err := t.check()
	if err != nil {
		return fmt.Errorf("seed %d: %w", *seed, err)
	}
	fmt.Printf("%d items, %d kills: each has succeeded; %d were in flight at a kill, as reported; %d of them ran twice or more, and no other did\n",
		*items, *kills, len(t.reported), again)
	return nil
}

// runs runs throttle until all is done.
func (t *trial) runs() error {
	for n := range t.kills + 1 {
		inFlight, err := t.inFlight()
		if err != nil {
			return err
		}
		input := t.input(t.items * (n + 1) / (t.kills + 1))
		stderr, err := t.once(input, n < t.kills, n > 0)
		if err != nil {
			return fmt.Errorf("run %d: %w", n+1, err)
		}
		said, err := reports(stderr)
		if err != nil {
			return err
		}
		if !maps.Equal(said, inFlight) {
			return fmt.Errorf("run %d: in flight were %v, and it reports %v", n+1, slices.Sorted(maps.Keys(inFlight)), slices.Sorted(maps.Keys(said)))
		}
		for item := range said {
			t.reported[item]++
		}
	}
	return nil
}

// input returns the first n items, shuffled.
func (t *trial) input(n int) string {
	var b strings.Builder
	for _, i := range t.rng.Perm(n) {
		fmt.Fprintf(&b, "item %d\n", i)
	}
	return b.String()
}

// once runs throttle, and kills it or has it end.
func (t *trial) once(input string, kill, resume bool) (stderr string, err error) {
	argv := []string{"--rate", "inf", "-j", "4", "--journal", t.journal}
	if resume {
		argv = append(argv, "--resume")
	}
	// It is in flight for a while, so that a kill finds some.
	argv = append(argv, "--shell", "--", `echo "+$1" >> `+t.done+`; echo "-$1" >> `+t.done)
	c := exec.Command(t.binary, argv...)
	var errs bytes.Buffer
	c.Stdin, c.Stderr = strings.NewReader(input), &errs
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.Start(); err != nil {
		return "", err
	}
	if kill {
		go func(after int64) { // that many bytes of what the commands write
			for info, err := os.Stat(t.done); err != nil || info.Size() < after; info, err = os.Stat(t.done) {
				time.Sleep(time.Millisecond)
			}
			_ = c.Process.Kill()
		}(t.size() + t.rng.Int64N(int64(20*t.items/(t.kills+1))) + 1)
	}
	err = c.Wait()
	var exit *exec.ExitError
	if kill && errors.As(err, &exit) {
		err = nil
	}
	time.Sleep(100 * time.Millisecond) // those that were left behind get a signal, and end
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, errs.String())
	}
	return errs.String(), nil
}

// size returns how much the commands have written.
func (t *trial) size() int64 {
	info, err := os.Stat(t.done)
	if err != nil {
		return 0
	}
	return info.Size()
}

// reports returns what a run says was in flight when it began.
func reports(stderr string) (map[string]bool, error) {
	said := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)^  job \d+, started [^"]*: ("item \d+")$`).FindAllStringSubmatch(stderr, -1) {
		item, err := strconv.Unquote(m[1])
		if err != nil {
			return nil, err
		}
		said[item] = true
	}
	return said, nil
}

// A row is one of the journal, as far as it matters.
type row struct{ Type, Item, Input, Outcome string }

// rows returns the rows of the journal that are whole.
func (t *trial) rows() (rows []row, err error) {
	text, err := os.ReadFile(t.journal)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for line := range bytes.Lines(text) {
		var r row
		if !bytes.HasSuffix(line, []byte("\n")) {
			break
		}
		if err := json.Unmarshal(line, &r); err != nil {
			return nil, fmt.Errorf("the journal has %q: %w", line, err)
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// inFlight returns the items that have a start and no end in the journal.
func (t *trial) inFlight() (map[string]bool, error) {
	rows, err := t.rows()
	if err != nil {
		return nil, err
	}
	open := make(map[string]string)
	for _, r := range rows {
		switch r.Type {
		case "start":
			open[r.Item] = r.Input
		case "end":
			delete(open, r.Item)
		}
	}
	items := make(map[string]bool)
	for _, input := range open {
		items[input] = true
	}
	return items, nil
}

// check looks at what the commands have done, and returns how many items were run again.
func (t *trial) check() (again int, err error) {
	f, err := os.Open(t.done)
	if err != nil {
		return 0, err
	}
	defer f.Close() //nolint:errcheck // it is only read
	began, ended := make(map[string]int), make(map[string]int)
	for s := bufio.NewScanner(f); s.Scan(); {
		switch item := s.Text()[1:]; s.Text()[0] {
		case '+':
			began[item]++
		case '-':
			ended[item]++
		}
	}
	rows, err := t.rows()
	if err != nil {
		return 0, err
	}
	oks, inputs := make(map[string]int), make(map[string]string)
	for _, r := range rows {
		switch {
		case r.Type == "start":
			inputs[r.Item] = r.Input
		case r.Type == "end" && r.Outcome == "ok":
			oks[inputs[r.Item]]++
		}
	}
	for i := range t.items {
		item := fmt.Sprintf("item %d", i)
		switch {
		case oks[item] != 1:
			return 0, fmt.Errorf("%s has succeeded %d times, says the journal", item, oks[item])
		case ended[item] < 1:
			return 0, fmt.Errorf("%s was never run to its end", item)
		case began[item] > 1+t.reported[item]:
			return 0, fmt.Errorf("%s was run %d times, and reported as in flight %d times", item, began[item], t.reported[item])
		case began[item] > 1:
			again++
		}
	}
	return again, nil
}
