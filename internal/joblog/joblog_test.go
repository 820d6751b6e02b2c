package joblog_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/throttle-cli/throttle/internal/joblog"
	"github.com/throttle-cli/throttle/internal/journal/rowfile"
)

const header = "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n"

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

func read(t *testing.T, path string) (rows []joblog.Row) {
	t.Helper()
	check(t, joblog.Read(path, func(r joblog.Row) error {
		rows = append(rows, r)
		return nil
	}))
	return rows
}

func TestRows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobs.log")
	l, err := joblog.Open(path)
	check(t, err)
	start := time.Unix(1360490623, 67_600_000)
	check(t,
		l.Append(joblog.Row{Seq: 4, Start: start, Runtime: 3445_900 * time.Microsecond, Receive: 1222, Command: "printf 'a\nb'"}),
		l.Append(joblog.Row{Seq: 12, Host: "h", Start: start, Runtime: 100 * time.Microsecond, Exitval: -1, Signal: 15, Command: "a\tb"}),
		l.Append(joblog.Row{Seq: 13, Start: start, Runtime: 20 * time.Hour * 1000, Send: 3}),
		l.Close())
	want := header +
		"4\t:\t1360490623.068\t     3.445\t0\t1222\t0\t0\tprintf 'a\x00b'\n" +
		"12\th\t1360490623.068\t     0.000\t0\t0\t-1\t15\ta\tb\n" +
		"13\t:\t1360490623.068\t71999999.999\t3\t0\t0\t0\t\n"
	if got := contents(t, path); got != want {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
	rows := read(t, path)
	if r := rows[0]; r.Seq != 4 || r.Host != ":" || !r.Start.Equal(time.UnixMilli(1360490623068)) || r.Runtime != 3445*time.Millisecond ||
		r.Receive != 1222 || r.Command != "printf 'a\nb'" || !r.OK() || r.Key() != joblog.Key([]string{"printf", "a\nb"}) {
		t.Errorf("%+v", r)
	}
	if r := rows[1]; r.Exitval != -1 || r.Signal != 15 || r.Command != "a\tb" || r.OK() {
		t.Errorf("%+v", r)
	}
	if r := rows[2]; r.Key() != "" || r.Send != 3 {
		t.Errorf("%+v", r)
	}
}

func TestStatus(t *testing.T) {
	for _, c := range []struct {
		exit         int
		signal       syscall.Signal
		timedOut     bool
		exitval, sig int
	}{
		{0, 0, false, 0, 0},
		{3, 0, false, 3, 0},
		{137, 9, false, 0, 9},
		{143, 15, true, -1, 15},
		{3, 0, true, 3, 0}, // it caught the signal
		{0, 0, true, -1, 0},
	} {
		if exitval, sig := joblog.Status(c.exit, c.signal, c.timedOut); exitval != c.exitval || sig != c.sig {
			t.Errorf("%+v: %d, %d", c, exitval, sig)
		}
	}
}

func TestKeysOfTheSameCommand(t *testing.T) {
	for _, same := range [][]string{
		{`echo a\ b`, `echo 'a b'`, ` echo  "a b" `, `echo a' 'b # it`},
		{"echo 'a\nb'", "echo \"a\nb\""},
		{"echo a | cat"},
		{"'echo a | cat'"},
		{"echo a", "'echo' a"},
		{"'echo a'"},
		{"echo\na"},
		{"echo"},
		{"echo ''"},
		{""},
	} {
		for _, a := range same {
			if joblog.Row.Key(joblog.Row{Command: a}) != joblog.Row.Key(joblog.Row{Command: same[0]}) {
				t.Errorf("%q and %q are not the same", a, same[0])
			}
		}
	}
	keys := make(map[string]string)
	for _, c := range []string{`echo a\ b`, "echo a b", "echo 'a\nb'", "echo a | cat", "'echo a | cat'", "echo a", "'echo a'", "echo\na", "echo", "echo ''", ""} {
		key := joblog.Row.Key(joblog.Row{Command: c})
		if other, ok := keys[key]; ok {
			t.Errorf("%q and %q are the same", c, other)
		}
		keys[key] = c
	}
}

func TestOtherFiles(t *testing.T) {
	row := "1\t:\t1360490623.068\t     3.445\t0\t1222\t0\t0\techo 1\n"
	for _, c := range []struct {
		name, text, want string
		open             bool // whether it can be opened, as only its start and end are looked at
	}{
		{"text", "hello\nthere\n", `is no joblog: it begins with "hello"`, false},
		{"header without newline and more", "Seq\tHostess", `is no joblog: it begins with "Seq\tHostess"`, false},
		{"a column more", strings.TrimSuffix(header, "\n") + "\tMore\n", `is no joblog`, false},
		{"no header", row, "is no joblog", false},
		{"glued", header + "1\t:\t1360490623.06" + row, "line 2 of", true},
		{"number", header + row + strings.Replace(row, "1\t:", "x\t:", 1), "line 3 of", true},
		{"zero", header + strings.Replace(row, "1\t:", "0\t:", 1), "line 2 of", true},
		{"time", header + strings.Replace(row, "1360490623.068", "NaN", 1), "line 2 of", true},
	} {
		path := filepath.Join(t.TempDir(), "jobs.log")
		check(t, os.WriteFile(path, []byte(c.text), 0o600))
		err := joblog.Read(path, func(joblog.Row) error { return nil })
		var f *joblog.FormatError
		if !errors.As(err, &f) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", c.name, err)
		}
		for _, open := range []func(string) (*joblog.Log, error){joblog.Open, joblog.Create} {
			if c.open {
				break
			}
			if _, err := open(path); !errors.As(err, &f) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s, opened: %v", c.name, err)
			}
			if contents(t, path) != c.text {
				t.Errorf("%s: the file was changed", c.name)
			}
		}
	}
}

func TestRepairs(t *testing.T) {
	row := "1\t:\t1360490623.068\t     3.445\t0\t1222\t0\t0\techo 1\n"
	for _, c := range []struct{ name, text, whole, want string }{
		{"whole", header + row, header + row, ""},
		{"header", header, header, ""},
		{"empty", "", header, ""},
		{"torn header", header[:20], header, "its header was torn"},
		{"torn", header + row + row[:20], header + row, `its last row was torn, and is cut off: "1\t:\t136`},
		{"torn in the command", header + row + "2\t:\t1360490623.068\t     3.445\t0\t1222\t1\t0\trm -rf /", header + row, "torn"},
		{"only torn", header + row[:20], header, "torn"},
		{"long", header + row + strings.Repeat("x", 300_000), header + row, `"...`},
	} {
		path := filepath.Join(t.TempDir(), "jobs.log")
		check(t, os.WriteFile(path, []byte(c.text), 0o600))
		if c.text != "" && !strings.HasPrefix(c.text, header) {
			check(t, joblog.Read(path, func(joblog.Row) error { return errors.New("a row of a torn header") }))
		} else if n := len(read(t, path)); n != max(0, strings.Count(c.whole, "\n")-1) {
			t.Errorf("%s: %d rows are read", c.name, n)
		}
		l, err := joblog.Open(path)
		check(t, err)
		if (l.Repaired() == "") != (c.want == "") || !strings.Contains(l.Repaired(), c.want) {
			t.Errorf("%s: repaired %q", c.name, l.Repaired())
		}
		check(t, l.Append(joblog.Row{Seq: 9, Command: "x"}), l.Close(), l.Close())
		if got := contents(t, path); !strings.HasPrefix(got, c.whole+"9\t:\t") {
			t.Errorf("%s: %q", c.name, got)
		}
		l, err = joblog.Create(path)
		check(t, err, l.Close())
		if got := contents(t, path); got != header {
			t.Errorf("%s: created again, it is %q", c.name, got)
		}
	}
}

func TestInUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobs.log")
	l, err := joblog.Open(path)
	check(t, err, l.Append(joblog.Row{Seq: 1}))
	for _, open := range []func(string) (*joblog.Log, error){joblog.Open, joblog.Create} {
		if _, err := open(path); !errors.Is(err, rowfile.ErrLocked) || !strings.Contains(err.Error(), path) {
			t.Errorf("%v", err)
		}
	}
	if n := len(read(t, path)); n != 1 {
		t.Errorf("%d rows", n)
	}
	check(t, l.Close())
	if err := l.Append(joblog.Row{}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func parallel(t *testing.T, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("parallel")
	if err == nil {
		var version []byte
		version, err = exec.Command(path, "--version").Output()
		if err == nil && !strings.HasPrefix(string(version), "GNU parallel") {
			err = errors.New("it is another one")
		}
	}
	if err != nil {
		t.Skip("GNU parallel: ", err)
	}
	cmd := exec.Command(path, append([]string{"--will-cite"}, args...)...)
	cmd.Env = append(os.Environ(), "PARALLEL_SHELL=/bin/sh", "PARALLEL=", "PARALLEL_HOME="+t.TempDir())
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out)
}

// words returns words that are hard to quote.
func words(n int) (all [][]string) {
	rng := rand.New(rand.NewPCG(5, 6))
	const alphabet = "ab \t'\"\\$`#*?{}|;&<>()!~=%^,:-é\xff\r"
	for i := range n {
		line := []string{fmt.Sprint(i)}
		for range rng.IntN(4) {
			b := make([]byte, rng.IntN(8))
			for i := range b {
				b[i] = alphabet[rng.IntN(len(alphabet))]
			}
			line = append(line, string(b))
		}
		all = append(all, line)
	}
	return append(all, []string{"{}"}, []string{"{#}", "{1}", "{= $_=1 =}", ":::"}, []string{" a", "b ", ""})
}

// What we write, parallel --retry-failed runs as it was, and what parallel writes is what we write.
func TestParallelRunsOurFailedOnes(t *testing.T) {
	for _, newline := range []bool{false, true} {
		dir := t.TempDir()
		script, log := filepath.Join(dir, "show"), filepath.Join(dir, "jobs.log")
		check(t, os.WriteFile(script, []byte("#!/bin/sh\nprintf '<%s>' \"$@\" && echo\n"), 0o700)) //nolint:gosec // it is to be run
		l, err := joblog.Open(log)
		check(t, err)
		all := words(100)
		if newline {
			all = append(all, []string{"a\nb", "\n", "c"}, []string{"'\n"})
		}
		want := ""
		for i, w := range all {
			failed := i % 3
			check(t, l.Append(joblog.Row{Seq: i + 1, Start: time.Now(), Exitval: failed, Command: joblog.Quote(append([]string{script}, w...))}))
			if failed != 0 {
				want += "<" + strings.Join(w, "><") + ">\n"
			}
		}
		check(t, l.Close())
		if got := parallel(t, "-j1", "--retry-failed", "--joblog", log); got != want {
			t.Errorf("parallel ran\n%q\nwant\n%q", got, want)
		}
		last := make(map[int]joblog.Row)
		for _, r := range read(t, log) {
			if before, ok := last[r.Seq]; ok && before.Command != r.Command {
				t.Errorf("parallel wrote %q for %q", r.Command, before.Command)
			}
			last[r.Seq] = r
		}
		for i, w := range all {
			if r := last[i+1]; !r.OK() || r.Key() != joblog.Key(append([]string{script}, w...)) {
				t.Errorf("%q: %+v", w, r)
			}
		}
	}
}

func TestAsParallelWritesIt(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "jobs.log")
	var args []string
	for _, w := range words(60) {
		args = append(args, slices.DeleteFunc(w[1:], func(s string) bool { return s == "" })...)
	}
	args = append(args, "", "a'b", "''", "'", "it's", "a\nb")
	check(t, os.WriteFile(filepath.Join(dir, "args"), []byte(strings.Join(args, "\x00")+"\x00"), 0o600))
	parallel(t, "-0", "-j1", "-a", filepath.Join(dir, "args"), "--joblog", log, "printf", "%s")
	theirs := contents(t, log)
	rows := read(t, log)
	if len(rows) != len(args) {
		t.Fatalf("%d rows for %d arguments", len(rows), len(args))
	}
	check(t, os.Remove(log))
	l, err := joblog.Open(log)
	check(t, err)
	for i, r := range rows {
		words := []string{"printf", "%s", args[i]}
		if r.Key() != joblog.Key(words) {
			t.Errorf("%q is not %q", r.Command, words)
		}
		r.Host = ""
		r.Receive = int64(len(args[i]))
		r.Command = "printf %s " + joblog.Quote(words[2:])
		check(t, l.Append(r))
	}
	check(t, l.Close())
	if ours := contents(t, log); ours != theirs {
		t.Errorf("they write\n%q\nand we\n%q", theirs, ours)
	}
	parallel(t, "-j1", "--timeout", "0.5", "--joblog", log, "{}", ":::", "sleep 9", "kill -9 $$", "exit 7", "trap 'exit 3' TERM; sleep 9 & wait")
	var got []string
	for _, r := range read(t, log) {
		got = append(got, fmt.Sprint(r.Exitval, r.Signal))
	}
	want := []string{"-1 15", "0 9", "7 0", "3 0"} // as in TestStatus
	if !slices.Equal(got, want) {
		t.Errorf("parallel writes %q, not %q", got, want)
	}
	if line := regexp.MustCompile(`(?m)^1\t:\t\d{10}\.\d{3}\t +\d\.\d{3}\t0\t0\t-1\t15\tsleep 9$`); !line.MatchString(contents(t, log)) {
		t.Errorf("%q", contents(t, log))
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(header + "1\t:\t1360490623.068\t     3.445\t0\t1222\t0\t0\techo 1\n2\t:\t1\t-1\t0\t1222\t-1\t15\ta\x00b"))
	f.Add([]byte(header[:20]))
	path := filepath.Join(f.TempDir(), "jobs.log")
	f.Fuzz(func(t *testing.T, b []byte) {
		check(t, os.WriteFile(path, b, 0o600))
		var rows []joblog.Row
		err := joblog.Read(path, func(r joblog.Row) error {
			_ = r.Key()
			rows = append(rows, r)
			return nil
		})
		l, openErr := joblog.Open(path)
		if openErr != nil {
			if err == nil && len(rows) > 0 || contents(t, path) != string(b) {
				t.Fatalf("%v, %v", err, openErr)
			}
			return
		}
		for _, r := range rows {
			check(t, l.Append(r))
		}
		check(t, l.Close())
		if err != nil {
			return
		}
		again := read(t, path)
		if len(again) != 2*len(rows) {
			t.Fatalf("%d rows became %d", len(rows), len(again))
		}
		for i, r := range rows {
			if again[i].Command != r.Command || again[len(rows)+i].Command != r.Command || again[i].Seq != again[len(rows)+i].Seq {
				t.Fatalf("%+v became %+v", r, again[len(rows)+i])
			}
		}
	})
}
