package journal_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/throttle-cli/throttle/internal/journal"
)

var at = time.Date(2026, 3, 4, 5, 6, 7, 890_123_456, time.FixedZone("", 3600))

func open(t *testing.T, path string, resume bool) *journal.Journal {
	t.Helper()
	j, err := journal.Open(path, journal.Options{Version: "1.2.3", Mode: "lines", Command: []string{"echo", "{}"}, Resume: resume, Time: at})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

func check(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func contents(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	check(t, err)
	return string(b)
}

func TestRows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	j, err := journal.Open(path, journal.Options{Version: "1.2.3", Mode: "lines", Command: []string{"a", "{}\n"}, Key: "ec2", Time: at})
	check(t, err)
	i := j.Ledger().Item([]byte("hello"))
	check(t,
		j.Start(journal.Start{Item: i, Seq: 1, Attempt: 1, Slot: 2, Time: at, Waited: 1234567 * time.Microsecond, Key: "k", Input: []byte("hello")}),
		j.End(journal.End{Item: i, Seq: 1, Attempt: 1, Time: at, Ran: time.Millisecond, Outcome: journal.Throttled, Exit: 143, Signal: 15, RetryAfter: 30 * time.Second, Stdout: 5}),
		j.Start(journal.Start{Item: i, Seq: 1, Attempt: 2, Slot: 2, Time: at, Input: []byte("\xff\"")}),
		j.End(journal.End{Item: i, Seq: 1, Attempt: 2, Time: at, Outcome: journal.OK}),
		j.Start(journal.Start{Item: i, Seq: 1, Attempt: 3, Slot: 2, Time: at, Input: []byte(strings.Repeat("a", 255) + "é\x01")}),
		j.Stop(journal.Stop{Time: at, Reason: "\x00\"\\\té\xff", OK: 1, Attempts: 2}),
		j.Close(),
	)
	const item = `"item":"2cf24dba5fb0a30e26e83b2ac5b9e29e","n":1,"seq":1,"attempt":`
	const when = `"time":"2026-03-04T04:06:07.890123Z"`
	want := `{"type":"run",` + when + fmt.Sprintf(`,"format":1,"pid":%d,"resume":false,"version":"1.2.3","mode":"lines","command":["a","{}\n"],"key":"ec2"}`, os.Getpid()) + "\n" +
		`{"type":"start",` + when + `,` + item + `1,"slot":2,"waited":1.234567,"key":"k","input":"hello"}` + "\n" +
		`{"type":"end",` + when + `,` + item + `1,"outcome":"throttled","exit":143,"signal":15,"ran":0.001000,"retry_after":30.000000,"stdout":5,"stderr":0}` + "\n" +
		`{"type":"start",` + when + `,` + item + `2,"slot":2,"waited":0.000000,"input64":"/yI="}` + "\n" +
		`{"type":"end",` + when + `,` + item + `2,"outcome":"ok","exit":0,"ran":0.000000,"stdout":0,"stderr":0}` + "\n" +
		`{"type":"start",` + when + `,` + item + `3,"slot":2,"waited":0.000000,"input":"` + strings.Repeat("a", 255) + `","cut":true}` + "\n" +
		`{"type":"stop",` + when + `,"reason":"\u0000\"\\\té` + "\ufffd" + `","ok":1,"failed":0,"skipped":0,"left":0,"attempts":2,"throttled":0}` + "\n"
	got := contents(t, path)
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for line := range strings.Lines(got) {
		if !json.Valid([]byte(line)) {
			t.Errorf("no JSON: %s", line)
		}
	}
}

func TestWhatIsLeftToDo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	j := open(t, path, false)
	l := j.Ledger()
	seq := 0
	run := func(content string, outcome journal.Outcome) {
		seq++
		i := l.Item([]byte(content))
		check(t, j.Start(journal.Start{Item: i, Seq: seq, Attempt: 1, Slot: 1, Time: at, Input: []byte(content)}))
		if outcome != "" {
			check(t, j.End(journal.End{Item: i, Seq: seq, Attempt: 1, Outcome: outcome}))
		}
	}
	run("ok", journal.OK)
	run("failed", journal.Failed)
	run("late", journal.Timeout)
	run("retry", journal.Retry)
	run("throttled", journal.Throttled)
	run("interrupted", journal.Interrupted)
	run("unstarted", journal.Unstarted)
	run("flying", "")
	run("twice", journal.OK)
	run("twice", "")
	check(t, j.Close())

	j = open(t, path, true)
	l = j.Ledger()
	plain := journal.Policy{}
	again := journal.Policy{Failed: true, InFlight: journal.Skip}
	for _, step := range []struct {
		content    string
		want       journal.Decision
		alsoFailed bool // run as the other policy has it
	}{
		{"twice", journal.Decision{Was: journal.Good, Seq: 9}, false},
		{"new", journal.Decision{Run: true}, true},
		{"flying", journal.Decision{Run: true, Was: journal.InFlight, Seq: 8}, false},
		{"failed", journal.Decision{Was: journal.Bad, Seq: 2}, true},
		{"late", journal.Decision{Was: journal.Bad, Seq: 3}, true},
		{"retry", journal.Decision{Run: true, Was: journal.Pending, Seq: 4}, true},
		{"throttled", journal.Decision{Run: true, Was: journal.Pending, Seq: 5}, true},
		{"interrupted", journal.Decision{Run: true, Was: journal.Pending, Seq: 6}, true},
		{"unstarted", journal.Decision{Run: true, Was: journal.Pending, Seq: 7}, true},
		{"ok", journal.Decision{Was: journal.Good, Seq: 1}, false},
		{"ok", journal.Decision{Run: true}, true}, // there are two of them now
		{"twice", journal.Decision{Run: true, Was: journal.InFlight, Seq: 10}, false},
		{"twice", journal.Decision{Run: true}, true},
	} {
		i := l.Item([]byte(step.content))
		if got := l.Decide(i, plain); got != step.want {
			t.Errorf("%s: %+v, want %+v", step.content, got, step.want)
		}
		if got := l.Decide(i, again); got.Run != step.alsoFailed {
			t.Errorf("%s, with failed ones, and without those in flight: %+v", step.content, got)
		}
	}
	if l.MaxSeq() != 10 {
		t.Errorf("the highest number is %d", l.MaxSeq())
	}
	var flying []string
	for _, f := range l.InFlight() {
		flying = append(flying, fmt.Sprint(f.Input, f.Item.N, f.Seq, f.Attempt, f.Started.Equal(at.Truncate(time.Microsecond))))
	}
	if want := []string{"flying1 8 1 true", "twice2 10 1 true"}; !slices.Equal(flying, want) {
		t.Errorf("in flight: %q, want %q", flying, want)
	}
	if c := l.Counts(); c[journal.Good] != 2 || c[journal.Bad] != 2 || c[journal.Pending] != 4 || c[journal.InFlight] != 2 {
		t.Errorf("counts: %v", c)
	}
	check(t, j.InFlight(l.InFlight()[0].Item, journal.Skip), j.Close())
	if !strings.Contains(contents(t, path), `"n":1,"seq":8,"attempt":1,"action":"skip","started":"2026-03-04T04:06:07.890123Z","input":"flying"}`) {
		t.Errorf("what was done with it is not there:\n%s", contents(t, path))
	}

	j = open(t, path, false) // a run that does not resume begins anew, and those that resume go on from there
	if d := j.Ledger().Decide(j.Ledger().Item([]byte("ok")), plain); d.Was != journal.New {
		t.Errorf("a new run knows of %+v", d)
	}
	check(t, j.Close())
	j = open(t, path, true)
	if d := j.Ledger().Decide(j.Ledger().Item([]byte("ok")), plain); d.Was != journal.New || j.Ledger().MaxSeq() != 0 {
		t.Errorf("a run that resumes a new one knows of %+v", d)
	}
}

// An oracle knows of a journal only which rows are whole, and reads them slowly.
type oracle struct {
	state   map[string]string // of hash and number: "", "flying", or the outcome
	started map[string]bool
}

func ask(journal string) oracle {
	o := oracle{make(map[string]string), make(map[string]bool)}
	for line := range strings.Lines(journal) {
		var row struct {
			Type, Item, Outcome string
			N                   int
		}
		if !strings.HasSuffix(line, "\n") || json.Unmarshal([]byte(line), &row) != nil {
			continue
		}
		id := fmt.Sprint(row.Item, row.N)
		switch row.Type {
		case "start":
			o.state[id] = "flying"
		case "end":
			o.state[id] = row.Outcome
		}
	}
	return o
}

// inspect resumes from what is left of a journal, with an input in another order, and compares with the oracle.
func inspect(t *testing.T, path, left string, input []string) *journal.Journal {
	t.Helper()
	check(t, os.WriteFile(path, []byte(left), 0o600))
	j := open(t, path, true)
	o, l := ask(left), j.Ledger()
	flying := make(map[string]bool)
	for _, f := range l.InFlight() {
		id := fmt.Sprintf("%x%d", f.Item.Hash, f.Item.N)
		if flying[id] = true; o.state[id] != "flying" {
			t.Fatalf("of %d bytes: %s (%q) is reported as in flight, and is %q", len(left), id, f.Input, o.state[id])
		}
	}
	for id, state := range o.state {
		if state == "flying" && !flying[id] {
			t.Fatalf("of %d bytes: %s is in flight, and is not reported", len(left), id)
		}
	}
	for _, content := range input {
		i := l.Item([]byte(content))
		state := o.state[fmt.Sprintf("%x%d", i.Hash, i.N)]
		d := l.Decide(i, journal.Policy{Failed: true})
		if d.Run != (state != "ok") || (d.Was == journal.InFlight) != (state == "flying") {
			t.Fatalf("of %d bytes: item %d of %q was %q, and the decision is %+v", len(left), i.N, content, state, d)
		}
	}
	return j
}

func TestKilledAnywhere(t *testing.T) {
	for seed := range uint64(4) {
		rng := rand.New(rand.NewPCG(seed, 8))
		path := filepath.Join(t.TempDir(), "j")
		var input []string
		for range 5 {
			input = append(input, strings.Repeat(string(rune('a'+rng.IntN(6))), 1+rng.IntN(2)))
		}
		written := ""
		for generation := range 3 {
			j := inspect(t, path, written, input)
			play(t, rng, j, input)
			check(t, j.Close())
			all := contents(t, path)
			for cut := len(written); cut <= len(all); cut++ { // killed at any byte of this generation
				if (seed > 0 || testing.Short()) && cut%17 != 0 {
					continue
				}
				j := inspect(t, path, all[:cut], input)
				check(t, j.Close())
				again := contents(t, path)
				if whole := all[:strings.LastIndexByte(all[:cut], '\n')+1]; !strings.HasPrefix(again, whole) {
					t.Fatalf("whole rows are lost at %d", cut)
				}
			}
			written = all[:len(written)+rng.IntN(len(all)-len(written)+1)]
			input = append(input, fmt.Sprint("new", generation))
			rng.Shuffle(len(input), func(a, b int) { input[a], input[b] = input[b], input[a] })
		}
	}
}

// play runs what is left to do, several at once, with outcomes by chance.
func play(t *testing.T, rng *rand.Rand, j *journal.Journal, input []string) {
	t.Helper()
	type job struct {
		item         journal.Item
		seq, attempt int
	}
	var running []job
	l := j.Ledger()
	next := l.MaxSeq()
	end := func() {
		at := rng.IntN(len(running))
		r := running[at]
		outcomes := []journal.Outcome{journal.OK, journal.OK, journal.Failed, journal.Timeout, journal.Retry, journal.Throttled, journal.Interrupted, journal.Unstarted}
		outcome := outcomes[rng.IntN(len(outcomes))]
		check(t, j.End(journal.End{Item: r.item, Seq: r.seq, Attempt: r.attempt, Outcome: outcome, Exit: rng.IntN(256), Ran: time.Duration(rng.Int64N(1e10))}))
		if outcome == journal.Retry || outcome == journal.Throttled {
			running[at].attempt++
			check(t, j.Start(journal.Start{Item: r.item, Seq: r.seq, Attempt: r.attempt + 1, Slot: 1}))
			return
		}
		running = slices.Delete(running, at, at+1)
	}
	for _, content := range input {
		i := l.Item([]byte(content))
		d := l.Decide(i, journal.Policy{Failed: true})
		if !d.Run {
			continue
		}
		if d.Seq == 0 {
			next++
			d.Seq = next
		}
		if d.Was == journal.InFlight {
			check(t, j.InFlight(i, journal.Rerun))
		}
		check(t, j.Start(journal.Start{Item: i, Seq: d.Seq, Attempt: 1, Slot: 1, Input: []byte(content)}))
		running = append(running, job{i, d.Seq, 1})
		for len(running) > 3 {
			end()
		}
	}
	for len(running) > rng.IntN(3) {
		end()
	}
	check(t, j.Stop(journal.Stop{Reason: "end"}))
}

const (
	runRow   = `{"type":"run","time":"2026-03-04T04:06:07.890123Z","format":1,"pid":1,"resume":true,"version":"1","mode":"lines","command":["a"]}` + "\n"
	startRow = `{"type":"start","time":"2026-03-04T04:06:07.890123Z","item":"2cf24dba5fb0a30e26e83b2ac5b9e29e","n":1,"seq":3,"attempt":1,"slot":2,"waited":1.2,"input":"hello"}` + "\n"
	endRow   = `{"type":"end","time":"2026-03-04T04:06:07.890123Z","item":"2cf24dba5fb0a30e26e83b2ac5b9e29e","n":1,"seq":3,"attempt":1,"outcome":"ok","exit":0,"ran":0.0,"stdout":0,"stderr":0}` + "\n"
)

func TestOtherFiles(t *testing.T) {
	long := `{"type":"x","y":"` + strings.Repeat("z", 70_000) + "\"}\n"
	for _, c := range []struct{ name, text, want string }{
		{"text", "hello\nthere\n", `is no journal of throttle: it begins with "hello"`},
		{"no newline", "hello", `it begins with "hello"`},
		{"joblog", "Seq\tHost\n", `it begins with "Seq\tHost"`},
		{"no run row", startRow, `it begins with "{\"type\":\"start\"`},
		{"blank", "\n" + runRow, `it begins with ""`},
		{"format", strings.Replace(runRow, `"format":1`, `"format":2`, 1), "its format is 2, and this throttle knows 1 only"},
		{"later format", runRow + startRow + strings.Replace(runRow, `"format":1`, `"format":7`, 1), "line 3 of the journal"},
		{"damaged", runRow + startRow + "rubbish\n" + endRow, "line 3 of the journal"},
		{"glued", runRow + startRow[:40] + startRow + endRow, "line 2 of the journal"},
		{"zeros", runRow + startRow[:40] + strings.Repeat("\x00", 4096) + startRow[80:] + endRow, "line 2 of the journal"},
		{"no item", runRow + strings.Replace(startRow, `"n":1`, `"n":0`, 1) + endRow, "line 2 of the journal"},
		{"outcome", runRow + strings.Replace(endRow, `"ok"`, `"fine"`, 1) + endRow, "line 2 of the journal"},
		{"long", runRow + long + endRow, "line 2 of the journal"},
		{"much rubbish", runRow + strings.Repeat("rubbish\n", 1<<20), "line 2 of the journal"},
	} {
		path := filepath.Join(t.TempDir(), "j")
		check(t, os.WriteFile(path, []byte(c.text), 0o600))
		_, err := journal.Open(path, journal.Options{})
		var f *journal.FormatError
		if !errors.As(err, &f) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", c.name, err)
		}
		if contents(t, path) != c.text {
			t.Errorf("%s: the file was changed", c.name)
		}
	}
	for _, path := range []string{os.DevNull, t.TempDir(), filepath.Join(t.TempDir(), "none", "j")} {
		if _, err := journal.Open(path, journal.Options{}); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestRepairs(t *testing.T) {
	for _, c := range []struct{ name, text, whole, want string }{
		{"whole", runRow + startRow, runRow + startRow, ""},
		{"empty", "", "", ""},
		{"torn", runRow + startRow + endRow[:50], runRow + startRow, `line 3 was torn, and 50 bytes are cut off: "{\"type\":\"end\"`},
		{"no newline", runRow + startRow[:len(startRow)-1], runRow, "line 2 was torn"},
		{"torn first", runRow[:30], "", "line 1 was torn"},
		{"first letters", runRow[:3], "", "line 1 was torn"},
		{"zeros", runRow + startRow + strings.Repeat("\x00", 5000), runRow + startRow, "line 3 was torn, and 5000 bytes"},
		{"rows of rubbish", runRow + startRow + "\x00\x00\n\x00\n", runRow + startRow, "line 3 was torn, and 5 bytes"},
		{"blank lines", runRow + "\n \n" + startRow + "\n", runRow + "\n \n" + startRow + "\n", ""},
		{"edited", runRow + `{ "seq": 3, "n": 1, "item": "2cf24dba5fb0a30e26e83b2ac5b9e29e", "type": "start" }` + "\n", runRow + `{ "seq": 3, "n": 1, "item": "2cf24dba5fb0a30e26e83b2ac5b9e29e", "type": "start" }` + "\n", ""},
		{"unknown row", runRow + `{"type":"later","x":[1]}` + "\n", runRow + `{"type":"later","x":[1]}` + "\n", ""},
	} {
		path := filepath.Join(t.TempDir(), "j")
		check(t, os.WriteFile(path, []byte(c.text), 0o600))
		j := open(t, path, true)
		if got := j.Repaired(); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: repaired %q", c.name, got)
		}
		check(t, j.Close())
		got, ok := strings.CutPrefix(contents(t, path), c.whole)
		if !ok || !strings.HasPrefix(got, `{"type":"run"`) || strings.Count(got, "\n") != 1 {
			t.Errorf("%s: what is there now: %q", c.name, contents(t, path))
		}
	}
}

func TestInUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	j := open(t, path, false)
	_, err := journal.Open(path, journal.Options{})
	var locked *journal.LockedError
	if !errors.As(err, &locked) || !strings.Contains(err.Error(), "another throttle writes the journal "+path) {
		t.Errorf("in use by ourselves: %v", err)
	}
	check(t, j.Close(), j.Close())
	if err := j.Stop(journal.Stop{}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestHelper$")
	cmd.Env = append(os.Environ(), "JOURNAL_HELPER=hold", "JOURNAL_PATH="+path)
	stdin, err := cmd.StdinPipe()
	check(t, err)
	stdout, err := cmd.StdoutPipe()
	check(t, err, cmd.Start())
	defer func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	}()
	_, err = bufio.NewReader(stdout).ReadString('\n')
	check(t, err)
	_, err = journal.Open(path, journal.Options{})
	if want := fmt.Sprintf("another throttle, process %d, writes", cmd.Process.Pid); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("in use by another process: %v, want %s", err, want)
	}
}

// A process is killed 12 times while 4 goroutines of it write; each time the next one goes on.
func TestKilledForReal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	var input []string
	for n := range 6000 {
		input = append(input, fmt.Sprint(n%5000)) // some twice
	}
	for range 12 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestFloodHelper$")
		cmd.Env = append(os.Environ(), "JOURNAL_HELPER=flood", "JOURNAL_PATH="+path)
		check(t, cmd.Start())
		time.Sleep(time.Duration(20+rand.IntN(60)) * time.Millisecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		rand.Shuffle(len(input), func(a, b int) { input[a], input[b] = input[b], input[a] })
		left, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue // it had no time to begin
		}
		check(t, err)
		j := inspect(t, path, string(left), input)
		check(t, j.Close())
	}
	if len(ask(contents(t, path)).state) < 100 {
		t.Errorf("only %d items were begun", len(ask(contents(t, path)).state))
	}
}

// TestFloodHelper is another process: it runs what is left to do.
func TestFloodHelper(t *testing.T) {
	if os.Getenv("JOURNAL_HELPER") != "flood" {
		return
	}
	j := open(t, os.Getenv("JOURNAL_PATH"), true)
	l := j.Ledger()
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for n := range 1500 {
				i := l.Item([]byte(fmt.Sprint((1500*g + n) % 5000)))
				if !l.Decide(i, journal.Policy{}).Run {
					continue
				}
				check(t, j.Start(journal.Start{Item: i, Seq: 1 + 1500*g + n, Attempt: 1, Slot: g + 1, Input: []byte("x")}))
				time.Sleep(100 * time.Microsecond)
				check(t, j.End(journal.End{Item: i, Seq: 1 + 1500*g + n, Attempt: 1, Outcome: journal.OK}))
			}
		})
	}
	wg.Wait()
}

// TestHelper is another process.
func TestHelper(t *testing.T) {
	if os.Getenv("JOURNAL_HELPER") != "hold" {
		return
	}
	j := open(t, os.Getenv("JOURNAL_PATH"), true)
	for range 3000 { // so that the run row is far from the end
		check(t, j.Stop(journal.Stop{Reason: strings.Repeat("x", 500)}))
	}
	fmt.Println()
	_, _ = io.ReadAll(os.Stdin)
}

func TestSeveralAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	j := open(t, path, false)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for n := range 100 {
				i := j.Ledger().Item(fmt.Appendf(nil, "%d of %d", n, g))
				check(t, j.Start(journal.Start{Item: i, Seq: g*100 + n + 1, Attempt: 1, Slot: g + 1, Input: bytes.Repeat([]byte{byte(g)}, n)}))
				check(t, j.End(journal.End{Item: i, Seq: g*100 + n + 1, Attempt: 1, Outcome: journal.OK}))
			}
		})
	}
	wg.Wait()
	check(t, j.Close())
	if c := open(t, path, true).Ledger().Counts(); c[journal.Good] != 800 || len(c) != 1 {
		t.Errorf("%v", c)
	}
}

func TestLedgerOfAnotherRecord(t *testing.T) {
	var b journal.Builder
	b.Add([]byte("twice"), 7, false)
	b.Add([]byte("once"), 3, false)
	b.Add([]byte("twice"), 4, true)
	b.Add([]byte("once"), 3, true) // run again
	b.Add([]byte("odd"), -1, true)
	l := b.Ledger()
	for _, step := range []struct {
		content string
		want    journal.Decision
	}{
		{"once", journal.Decision{Was: journal.Good, Seq: 3}},
		{"once", journal.Decision{Run: true}},
		{"twice", journal.Decision{Was: journal.Good, Seq: 4}},
		{"twice", journal.Decision{Was: journal.Bad, Seq: 7}},
		{"odd", journal.Decision{Run: true}},
	} {
		if got := l.Decide(l.Item([]byte(step.content)), journal.Policy{}); got != step.want {
			t.Errorf("%s: %+v, want %+v", step.content, got, step.want)
		}
	}
	if l.MaxSeq() != 7 || len(l.InFlight()) != 0 {
		t.Errorf("%d, %v", l.MaxSeq(), l.InFlight())
	}
}

func FuzzOpen(f *testing.F) {
	for _, s := range []string{"", "x", runRow, runRow + startRow, runRow + startRow + endRow, runRow + startRow + endRow[:70], runRow + "\n\x00{}\n" + endRow, runRow[:20]} {
		f.Add([]byte(s))
	}
	path := filepath.Join(f.TempDir(), "j")
	f.Fuzz(func(t *testing.T, b []byte) {
		check(t, os.WriteFile(path, b, 0o600))
		j, err := journal.Open(path, journal.Options{Resume: true})
		after := contents(t, path)
		if err != nil {
			if after != string(b) {
				t.Fatalf("changed, although %v", err)
			}
			return
		}
		check(t, j.Close())
		if i := strings.LastIndex(after, `{"type":"run"`); i < 0 || !bytes.HasPrefix(b, []byte(after[:i])) {
			t.Fatalf("of %q, there is %q", b, after)
		}
		again := open(t, path, true)
		if again.Repaired() != "" || again.Ledger().MaxSeq() != j.Ledger().MaxSeq() || len(again.Ledger().InFlight()) != len(j.Ledger().InFlight()) {
			t.Fatalf("opened again: %q", again.Repaired())
		}
		check(t, again.Close())
	})
}
