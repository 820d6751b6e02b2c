//go:build unix

// Command resume has throttle run a command for each of many items, kills it again and again, and has it go on with the input
// shuffled and extended. In the end each item must have succeeded, and run once, unless it has failed or was in flight at a
// kill; and those must be exactly the ones that throttle has reported. What the commands do they write down themselves.
//
//	go run ./bench/torture/resume -items 10000 -kills 20
package main

import (
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

// jobs is how many commands run at once, and so how many can be in flight at a kill.
const jobs = 4

// A trial is one batch, with all its runs.
type trial struct {
	binary, dir  string
	items, kills int
	rng          *rand.Rand
	journal, log string         // files: what throttle writes, and what the commands do
	reports      []map[int]bool // of each run: the numbers of the jobs that it said were in flight before
	killed       int
	early        int // of those: before it had said what was in flight
}

func run() error {
	items := flag.Int("items", 10_000, "how many there are in the end")
	kills := flag.Int("kills", 20, "how often throttle is killed")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "of the random numbers")
	binary := flag.String("throttle", "", "the binary; it is built if none is given")
	flag.Parse()
	dir, err := os.MkdirTemp("", "resume-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	t := &trial{
		binary: *binary, dir: dir, items: *items, kills: *kills, rng: rand.New(rand.NewPCG(*seed, 0)),
		journal: filepath.Join(dir, "journal"), log: filepath.Join(dir, "log"),
	}
	if t.binary == "" {
		t.binary = filepath.Join(dir, "throttle")
		if out, err := exec.Command("go", "build", "-o", t.binary, "github.com/throttle-cli/throttle").CombinedOutput(); err != nil {
			return fmt.Errorf("building throttle: %w\n%s", err, out)
		}
	}
	if err := t.runs(); err != nil {
		return fmt.Errorf("seed %d: %w", *seed, err)
	}
	again, err := t.check()
	if err != nil {
		return fmt.Errorf("seed %d: %w", *seed, err)
	}
	reported := make(map[int]bool)
	for _, r := range t.reports {
		maps.Copy(reported, r)
	}
	fmt.Printf("%d items, %d kills (%d of them before it had read its journal): each has succeeded; %d were in flight at a kill, as reported; %d of them ran again, and no other did\n",
		*items, t.killed, t.early, len(reported), again)
	return nil
}

// runs runs throttle until all is done.
func (t *trial) runs() error {
	var before state
	for n := range t.kills + 1 {
		said, err := t.once(n)
		if err != nil {
			return fmt.Errorf("run %d: %w", n+1, err)
		}
		after, err := t.read()
		if err != nil {
			return err
		}
		if n < t.kills && after.starts == before.starts && len(said) == 0 && len(before.open) > 0 {
			t.early++ // it was killed before it came to say so; the next run will
		} else if !maps.Equal(said, before.open) {
			return fmt.Errorf("run %d: in flight were %v, and it reports %v", n+1, sorted(before.open), sorted(said))
		}
		t.reports = append(t.reports, said)
		if err := t.independent(n, before, after); err != nil {
			return fmt.Errorf("run %d: %w", n+1, err)
		}
		before = after
	}
	if len(before.open) > 0 {
		return fmt.Errorf("in the end %v are in flight", sorted(before.open))
	}
	return nil
}

// independent compares what the journal has in flight after a run with what the commands say.
func (t *trial) independent(n int, before, after state) error {
	events, err := t.events()
	if err != nil {
		return err
	}
	running := make(map[int]bool)
	for _, e := range events {
		if e.run != n {
			continue
		}
		if e.what == "+" {
			running[e.seq] = true
		} else {
			delete(running, e.seq)
		}
	}
	for seq := range running {
		if !after.open[seq] {
			return fmt.Errorf("job %d ran when it was killed, and is not in flight", seq)
		}
	}
	fresh := 0 // those that were in flight before and that nobody started are so still
	for seq := range after.open {
		if !before.open[seq] || after.started[seq] > before.started[seq] {
			fresh++
		}
	}
	if fresh > jobs {
		return fmt.Errorf("%d jobs are in flight, and %d at the most were running", fresh, jobs)
	}
	return nil
}

// item returns what item i is made of. Of ten, two are the same.
func item(i int) string {
	if i%10 == 9 {
		i--
	}
	return fmt.Sprintf("item %d", i)
}

// input returns the first n items, shuffled.
func (t *trial) input(n int) string {
	var b strings.Builder
	for _, i := range t.rng.Perm(n) {
		fmt.Fprintln(&b, item(i))
	}
	return b.String()
}

// script is what is run for each item: some fail at first. It writes down what it does, and in which run.
const script = `echo "+ $RUN $THROTTLE_SEQ $1" >> "$LOG"
case $1 in *50) test $THROTTLE_ATTEMPT != 1 || { echo "! $RUN $THROTTLE_SEQ $1" >> "$LOG"; exit 1; };; esac
echo "- $RUN $THROTTLE_SEQ $1" >> "$LOG"`

// once is run n: it runs throttle, and kills it or has it end. It returns the numbers of the jobs that it reports.
func (t *trial) once(n int) (said map[int]bool, err error) {
	argv := []string{"--rate", "inf", "-j", strconv.Itoa(jobs), "--journal", t.journal, "--attempts", "3", "--backoff", "5ms"}
	if n > 0 {
		argv = append(argv, "--resume")
	}
	c := exec.Command(t.binary, append(argv, "--shell", "--", script)...)
	var errs bytes.Buffer
	c.Env = append(os.Environ(), "RUN="+strconv.Itoa(n), "LOG="+t.log)
	c.Stdin, c.Stderr = strings.NewReader(t.input(t.items*(n+1)/(t.kills+1))), &errs
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	after, delay := t.size(), time.Duration(0)
	if t.rng.IntN(5) == 0 { // while it starts
		delay = time.Duration(t.rng.Int64N(int64(15 * time.Millisecond)))
	} else { // when the commands have written that much more
		after += t.rng.Int64N(int64(20*t.items/(t.kills+1))) + 1
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	if kill := n < t.kills; kill {
		ended := make(chan struct{})
		defer close(ended)
		go func() {
			time.Sleep(delay)
			for t.size() < after {
				select {
				case <-ended:
					return
				case <-time.After(time.Millisecond):
				}
			}
			_ = c.Process.Kill()
		}()
	}
	err = c.Wait()
	time.Sleep(100 * time.Millisecond) // those that were left behind get a signal, and end
	if err != nil && (n == t.kills || c.ProcessState.ExitCode() >= 0) {
		return nil, fmt.Errorf("%w: %s", err, errs.String())
	}
	if err != nil {
		t.killed++
	}
	said = make(map[int]bool)
	for _, m := range regexp.MustCompile(`(?m)^  job (\d+), started [^"]*: "item \d+"$`).FindAllStringSubmatch(errs.String(), -1) {
		seq, err := strconv.Atoi(m[1])
		if err != nil {
			return nil, err
		}
		said[seq] = true
	}
	return said, nil
}

// size returns how much the commands have written.
func (t *trial) size() int64 {
	info, err := os.Stat(t.log)
	if err != nil {
		return 0
	}
	return info.Size()
}

// An event is a line that a command has written: "+" it began, "!" it failed, "-" it succeeded.
type event struct {
	what     string
	run, seq int
	item     string
}

func (t *trial) events() (events []event, err error) {
	text, err := os.ReadFile(t.log)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		var e event
		number := 0
		if _, err := fmt.Sscanf(line, "%s %d %d item %d\n", &e.what, &e.run, &e.seq, &number); err != nil {
			return nil, fmt.Errorf("a command wrote %q: %w", line, err)
		}
		e.item = fmt.Sprintf("item %d", number)
		events = append(events, e)
	}
	return events, nil
}

// A state is what the journal says, by the numbers of jobs.
type state struct {
	starts  int
	started map[int]int    // how often
	open    map[int]bool   // those with a start, and no end behind it
	ok      map[int]int    // how often they succeeded
	input   map[int]string // what they are made of
}

func (t *trial) read() (state, error) {
	s := state{started: make(map[int]int), open: make(map[int]bool), ok: make(map[int]int), input: make(map[int]string)}
	text, err := os.ReadFile(t.journal)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return s, err
	}
	for line := range bytes.Lines(text) {
		var r struct {
			Type, Input, Outcome string
			Seq                  int
		}
		if !bytes.HasSuffix(line, []byte("\n")) {
			break
		}
		if err := json.Unmarshal(line, &r); err != nil {
			return s, fmt.Errorf("the journal has %q: %w", line, err)
		}
		switch r.Type {
		case "start":
			s.starts++
			s.started[r.Seq]++
			s.open[r.Seq] = true
			if was := s.input[r.Seq]; was != "" && was != r.Input {
				return s, fmt.Errorf("job %d was %q and is %q", r.Seq, was, r.Input)
			}
			s.input[r.Seq] = r.Input
		case "end":
			delete(s.open, r.Seq)
			if r.Outcome == "ok" {
				s.ok[r.Seq]++
			}
		}
	}
	return s, nil
}

// check looks at what the commands have done, and returns how many jobs were run again without having failed.
func (t *trial) check() (again int, err error) {
	s, err := t.read()
	if err != nil {
		return 0, err
	}
	events, err := t.events()
	if err != nil {
		return 0, err
	}
	wanted := make(map[string]int)
	for i := range t.items {
		wanted[item(i)]++
	}
	succeeded := make(map[int]bool)
	last := make(map[int]event) // how each job was begun last, unless that has failed
	twice := make(map[int]bool)
	for _, e := range events {
		if s.input[e.seq] != e.item {
			return 0, fmt.Errorf("job %d ran %q, and is %q in the journal", e.seq, e.item, s.input[e.seq])
		}
		switch e.what {
		case "+":
			if was, ok := last[e.seq]; ok {
				if !t.reported(e.seq, was.run, e.run) {
					return 0, fmt.Errorf("job %d ran in run %d and again in run %d, and was not reported in between", e.seq, was.run+1, e.run+1)
				}
				twice[e.seq] = true
			}
			last[e.seq] = e
		case "!":
			delete(last, e.seq)
		case "-":
			succeeded[e.seq] = true
		}
	}
	for seq := range s.started {
		if !succeeded[seq] || s.ok[seq] != 1 {
			return 0, fmt.Errorf("job %d has succeeded %d times, says the journal; %v, says the command", seq, s.ok[seq], succeeded[seq])
		}
		wanted[s.input[seq]]--
	}
	for item, n := range wanted {
		if n != 0 {
			return 0, fmt.Errorf("%s is %d times too few", item, n)
		}
	}
	return len(twice), nil
}

// reported reports whether a job was said to have been in flight by one of the runs behind a, up to b.
func (t *trial) reported(seq, a, b int) bool {
	return slices.ContainsFunc(t.reports[a+1:b+1], func(r map[int]bool) bool { return r[seq] })
}

func sorted(m map[int]bool) []int { return slices.Sorted(maps.Keys(m)) }
