//go:build unix

package results_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/throttle-cli/throttle/internal/results"
	"github.com/throttle-cli/throttle/internal/template"
)

func check(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, dir string) *results.Results {
	t.Helper()
	r, err := results.Open(dir, "{}")
	check(t, err)
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// values are those of a line that is the only one, of columns, or of several lines.
func line(seq int, args ...string) template.Values { return template.Values{Args: args, Seq: seq} }

func columns(seq int, args ...string) template.Values {
	whole := strings.Join(args, ",")
	return template.Values{Args: args, Line: &whole, Seq: seq}
}

// job runs a job that writes its number.
func job(t *testing.T, r *results.Results, v template.Values) {
	t.Helper()
	f, err := r.Job(v)
	check(t, err)
	_, err = fmt.Fprintf(f.Stdout, "out %d", v.Seq)
	check(t, err)
	_, err = fmt.Fprintf(f.Stderr, "err %d", v.Seq)
	check(t, err, f.Close())
}

// tree returns the files below a directory, with what is in them.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	check(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Type() == fs.ModeSymlink {
			return err
		}
		b, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[name] = string(b)
		return err
	}))
	return files
}

func TestLayout(t *testing.T) {
	long := strings.Repeat("é", 200)
	for _, c := range []struct {
		dir    string // within a new one
		values template.Values
		want   string // where stdout is; the others are beside it
	}{
		{"out", line(7, "a"), "out/1/a/stdout"},
		{"out/", line(7, "a b"), "out/1/a b/stdout"},
		{"out", line(7, "b/c\\d\te"), `out/1/b\_c\\d\te/stdout`},
		{"out", line(7, "a\nb\x00"), "out/1/a\nb\\0/stdout"},
		{"out", line(7, ""), `out/1/\e/stdout`},
		{"out", line(7, "."), `out/1/\./stdout`},
		{"out", line(7, ".."), `out/1/\../stdout`},
		{"out", line(7, "../../x"), `out/1/..\_..\_x/stdout`},
		{"out", line(7, "..."), "out/1/.../stdout"},
		{"out", columns(7, "a", "..", "c"), `out/1/a/2/\../3/c/stdout`},
		{"out", line(7, "a", "b"), "out/1/a/1/b/stdout"},
		{"out", line(7, long), "out/1/" + strings.Repeat("é", 110) + `\#df20b2aa6262e99e133aa7f3614be707/stdout`},
		{"{}.txt", line(7, "a"), "a.txt"},
		{"out/{}.txt", line(7, "b/c"), "out/b/c.txt"},
		{"out/{}.txt", line(7, "/abs"), "out/abs.txt"},
		{"out/{}.txt", line(7, "../../up"), `out/\../\../up.txt`},
		{"out/{}.txt", line(7, ""), "out/.txt"},
		{"out/{}", line(7, ".."), `out/\..`},
		{"out/{}", line(7, "a/"), "out/a"},
		{"out/{}", line(7, "/"), `out/\e`},
		{"out/{}", line(7, "a\x00"), `out/a\0`},
		{"out/{.}", line(7, "a/...x"), `out/a/\..`},
		{"out/{/.}.log", line(7, "https://x/y.html"), "out/y.log"},
		{"out/{#}", line(7, "a"), "out/7"},
		{"out/{2}-{1}/", columns(7, "a", "b"), "out/b-a/stdout"},
		{"out/{}/", line(7, "b/c"), "out/b/c/stdout"},
		{"out/{}/", line(7, "a", "b"), "out/a b/stdout"},
		{"out/{}/", line(7, ""), `out/\e/stdout`},
		{"up/../out/x{}", line(7, "a"), "out/xa"},
	} {
		dir := t.TempDir()
		check(t, os.Mkdir(filepath.Join(dir, "up"), 0o700))
		r := open(t, dir+"/"+c.dir)
		job(t, r, c.values)
		seq, stderr := c.want+".seq", c.want+".err"
		if path, ok := strings.CutSuffix(c.want, "/stdout"); ok {
			seq, stderr = path+"/seq", path+"/stderr"
		}
		files := tree(t, dir)
		if files[c.want] != "out 7" || files[stderr] != "err 7" || files[seq] != "7" || len(files) != 3 {
			t.Errorf("%q of %q: %q, want %s", c.dir, c.values.Args, files, c.want)
		}
	}
}

// Names of different values are different, and none leads out.
func TestNoTwoValuesMeet(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir+"/out")
	rng := rand.New(rand.NewPCG(1, 2))
	const alphabet = "./\\\t\x00e#_0té"
	values := make(map[string]int)
	for len(values) < 3000 {
		b := make([]byte, rng.IntN(5))
		if rng.IntN(20) == 0 {
			b = make([]byte, 200+rng.IntN(100))
		}
		for i := range b {
			b[i] = alphabet[rng.IntN(len(alphabet))]
		}
		if _, ok := values[string(b)]; ok {
			continue
		}
		values[string(b)] = len(values) + 1
		job(t, r, line(len(values), string(b)))
	}
	files := tree(t, dir)
	if len(files) != 3*len(values) {
		t.Errorf("%d files of %d values", len(files), len(values))
	}
	for name, text := range files {
		if !strings.HasPrefix(name, "out/1/") || strings.Count(name, "/") != 3 {
			t.Errorf("%q", name)
		}
		if seq := files[filepath.Dir(name)+"/seq"]; !strings.HasSuffix(text, seq) {
			t.Errorf("%q has %q of job %s", name, text, seq)
		}
	}
}

func TestTheLaterOfTheSameValuesWins(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir)
	first, err := r.Job(line(1, "a"))
	check(t, err)
	_, err = first.Stdout.WriteString("first")
	check(t, err)
	job(t, r, line(2, "a"))
	_, err = first.Stdout.WriteString("first again")
	check(t, err)
	_, err = first.Stderr.WriteString("first")
	check(t, err, first.Close())
	files := tree(t, dir)
	if files["1/a/stdout"] != "out 2" || files["1/a/stderr"] != "err 2" || files["1/a/seq"] != "2" {
		t.Errorf("%q", files)
	}
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() { job(t, r, line(i, "b")) })
	}
	wg.Wait()
	files = tree(t, dir)
	if seq := files["1/b/seq"]; files["1/b/stdout"] != "out "+seq || files["1/b/stderr"] != "err "+seq {
		t.Errorf("%q", files)
	}
}

func TestEachAttemptHasTheFilesForItself(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir)
	for attempt := range 3 {
		f, err := r.Job(line(3, "a"))
		check(t, err)
		_, err = f.Stdout.WriteString(strings.Repeat("x", 10-attempt))
		check(t, err)
		if got := tree(t, dir)["1/a/stdout"]; got != strings.Repeat("x", 10-attempt) {
			t.Errorf("while it runs: %q", got)
		}
		check(t, f.Close())
	}
}

func TestCanNotBeMade(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	check(t, os.WriteFile(file, nil, 0o600))
	for name, want := range map[string]string{
		"":                  "it has no name",
		"x.csv":             "a table in one .csv file is not supported",
		"-.TSV":             "a table in one .tsv file",
		"{}.json":           "a table in one .json file",
		file:                "not a directory",
		file + "/x":         "not a directory",
		dir + "/{1}/../{2}": `".." behind`,
		"/proc/none":        "can't keep results in \"/proc/none\"",
		"/proc/{}":          "can't keep results in \"/proc/{}\"",
	} {
		if r, err := results.Open(name, "{}"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v", name, r, err)
		}
	}
	r := open(t, dir+"/{3}")
	if err := r.Check(2); err == nil || !strings.Contains(err.Error(), "no column for {3}") {
		t.Error(err)
	}
	check(t, r.Check(3), open(t, dir).Check(1))
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
}

func TestWhatIsInTheWay(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir+"/out/{}")
	job(t, r, line(1, "a"))
	if _, err := r.Job(line(2, "a/b")); err == nil || !strings.Contains(err.Error(), dir+"/out/a") {
		t.Errorf("%v", err)
	}
	job(t, r, line(3, "c/d"))
	if _, err := r.Job(line(4, "c")); err == nil || !strings.Contains(err.Error(), dir+"/out/c") {
		t.Errorf("%v", err)
	}
	check(t, os.Symlink(dir, filepath.Join(dir, "out", "away")), os.Symlink("/etc/passwd", filepath.Join(dir, "out", "link")))
	if _, err := r.Job(line(5, "away/x")); err == nil {
		t.Error("a symbolic link has led away")
	}
	job(t, r, line(6, "link"))
	if got := tree(t, dir)["out/link"]; got != "out 6" {
		t.Errorf("%q", got)
	}
}

func TestAsParallelDoes(t *testing.T) {
	path, err := exec.LookPath("parallel")
	if err != nil {
		t.Skip(err)
	}
	if version, err := exec.Command(path, "--version").Output(); err != nil || !strings.HasPrefix(string(version), "GNU parallel") {
		t.Skip("it is no GNU parallel")
	}
	all := []string{"a", "b c", "d/e", `f\g`, "h\ti", "é", "-j", "..x", "j.k/l.m"}
	for _, c := range []struct {
		dir, uses string
		args      []string
		jobs      func() (all []template.Values)
	}{
		{"out", "{}", append([]string{":::"}, all...), func() (jobs []template.Values) {
			for i, a := range all {
				jobs = append(jobs, line(i+1, a))
			}
			return jobs
		}},
		{"out/x", "{1} {2}", []string{"--colsep", ",", ":::", "a,b/c", "d,e"}, func() []template.Values {
			return []template.Values{columns(1, "a", "b/c"), columns(2, "d", "e")}
		}},
		{"out", "{}", []string{"-n2", ":::", "a", "b", "c"}, func() []template.Values {
			return []template.Values{line(1, "a", "b"), line(2, "c")}
		}},
		{"out/{}.txt", "{}", append([]string{":::"}, all...), func() (jobs []template.Values) {
			for i, a := range all {
				jobs = append(jobs, line(i+1, a))
			}
			return jobs
		}},
		{"out/{/.}/", "{}", []string{":::", "a/b.c", "d"}, func() []template.Values { return []template.Values{line(1, "a/b.c"), line(2, "d")} }},
	} {
		theirs, ours := t.TempDir(), t.TempDir()
		input := slices.Index(c.args, ":::")
		args := append([]string{"--will-cite", "--results", theirs + "/" + c.dir}, c.args[:input]...)
		args = append(args, "printf 'out %s' {#}; printf 'err %s' {#} >&2; : "+c.uses)
		cmd := exec.Command(path, append(args, c.args[input:]...)...)
		cmd.Env = append(os.Environ(), "PARALLEL=", "PARALLEL_HOME="+t.TempDir())
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		r := open(t, ours+"/"+c.dir)
		for _, v := range c.jobs() {
			job(t, r, v)
		}
		got, want := tree(t, ours), tree(t, theirs)
		for name, text := range want {
			if got[name] != text {
				t.Errorf("%s: %q has %q, and of parallel %q", c.dir, name, got[name], text)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s: %d files, and of parallel %d", c.dir, len(got), len(want))
		}
	}
}

func FuzzJob(f *testing.F) {
	for _, s := range []string{"a", "", ".", "..", "../x", "/", "\x00", "a//b/..", "-", strings.Repeat("x", 300)} {
		f.Add(s, "out/{}")
		f.Add(s, "out/{}/")
		f.Add(s, "out/{.}{//}")
		f.Add(s, "out")
	}
	dir := f.TempDir()
	n := 0
	f.Fuzz(func(t *testing.T, value, pattern string) {
		if !slices.Contains([]string{"out/{}", "out/{}/", "out/{.}{//}", "out"}, pattern) {
			return
		}
		n++
		within := filepath.Join(dir, strconv.Itoa(n))
		r, err := results.Open(within+"/"+pattern, "{}")
		check(t, err)
		job(t, r, line(1, value))
		check(t, r.Close())
		files := tree(t, within)
		for name := range files {
			if !strings.HasPrefix(name, "out/") {
				t.Fatalf("%q", name)
			}
		}
		if len(files) != 3 {
			t.Fatalf("%q", files)
		}
		check(t, os.RemoveAll(within))
	})
}
