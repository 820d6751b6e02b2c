//go:build unix

// Command bench measures throttle, and its peers in the same run: the sides of a comparison take turns, so that what
// else the machine does falls on all of them.
//
//	go run ./bench                            print the results
//	go run ./bench -quick -run pipe           a first impression of one section
//	go run ./bench -out docs/benchmarks.md    write the page too
//
// It builds what it measures. A peer that is not installed is named, and its rows are left out.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

func main() {
	var err error
	if args := os.Args[1:]; len(args) > 0 && args[0] == workerArg {
		err = worker(args[1:], os.Stdin, os.Stdout)
	} else {
		err = run(args)
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// sections are what can be measured, in the order of the page.
func sections() []section {
	return []section{pacing(), throughput(), commands(), keeping(), shared(), stores(), dynamoDB(), keys(), answers(), idle(), memory(), startUp()}
}

// A section is a table of the page, and how its rows are measured.
type section struct {
	name    string // for -run
	title   string
	about   string // how it is measured
	measure func(*bench) ([]row, error)
}

// A bench is what the sections measure with.
type bench struct {
	dir      string // temporary
	throttle string // the binary, built as for a release
	empty    string // a Go program that does nothing, built likewise
	rounds   int    // how often each side of a comparison has its turn
	quick    bool   // less of everything, for a first impression
	missing  map[string]bool
}

func run(args []string) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	only := flags.String("run", "", "measure only the sections that match `REGEXP`: pacing, pipe, commands, keeping, shared, stores, dynamodb, keys, answers, idle, memory, start-up")
	quick := flags.Bool("quick", false, "less of everything: a first impression, not a result")
	out := flags.String("out", "", "write the page to `FILE`")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	wanted, err := regexp.Compile(*only)
	if err != nil {
		return fmt.Errorf("-run: %w", err)
	}
	dir, err := os.MkdirTemp("", "throttle-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // it is temporary
	b := &bench{dir: dir, quick: *quick, rounds: 5, missing: make(map[string]bool)}
	if b.quick {
		b.rounds = 2
	}
	if err := b.build(); err != nil {
		return err
	}
	for _, p := range peers() {
		if _, err := exec.LookPath(p.name); err != nil {
			b.missing[p.name] = true
			fmt.Fprintf(os.Stderr, "%s is not installed, its rows are left out (%s)\n", p.name, p.get)
		}
	}

	page := page{command: strings.Join(append([]string{"go run ./bench"}, args...), " "), machine: b.machine(), rounds: b.rounds}
	for _, s := range sections() {
		if !wanted.MatchString(s.name) {
			continue
		}
		fmt.Fprintf(os.Stderr, "%s ...\n", s.name)
		load := loadAverage()
		start := time.Now()
		rows, err := s.measure(b)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		t := table{section: s, rows: rows, load: load, took: time.Since(start)}
		if _, err := fmt.Fprint(os.Stdout, t); err != nil {
			return err
		}
		page.tables = append(page.tables, t)
	}
	if *out == "" {
		return nil
	}
	return os.WriteFile(*out, []byte(page.String()), 0o644)
}

// build builds throttle and the empty program.
func (b *bench) build() (err error) {
	if b.throttle, err = b.compile("throttle", "github.com/throttle-cli/throttle"); err != nil {
		return err
	}
	b.empty, err = b.program("empty", "package main\n\nfunc main() {}\n")
	return err
}

// program builds a program of one file, and returns the binary.
func (b *bench) program(name, source string) (binary string, err error) {
	file := filepath.Join(b.dir, name+".go")
	if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
		return "", err
	}
	return b.compile(name, file)
}

// compile builds a package as for a release, and returns the binary.
func (b *bench) compile(name, pkg string) (binary string, err error) {
	binary = filepath.Join(b.dir, name)
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, pkg)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w\n%s", pkg, err, text)
	}
	return binary, nil
}

// lines makes a file with the numbers from 1 to n, one a line, that is in the page cache and on disk.
func (b *bench) lines(n int) (*os.File, error) {
	f, err := os.Create(filepath.Join(b.dir, fmt.Sprintf("%d-lines", n)))
	if err != nil {
		return nil, err
	}
	var buf []byte
	for i := 1; i <= n; i++ {
		buf = fmt.Appendln(buf, i)
		if len(buf) > 64<<10 || i == n {
			if _, err := f.Write(buf); err != nil {
				return nil, err
			}
			buf = buf[:0]
		}
	}
	return f, f.Sync()
}
