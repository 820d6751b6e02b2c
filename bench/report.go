//go:build unix

package main

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A table is a section that has been measured.
type table struct {
	section
	rows []row
	load string
	took time.Duration
}

func (t table) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s\n%s\n\n", t.title, t.about)
	b.WriteString("| | throttle | peer | ratio | target | met |\n|---|---|---|---|---|---|\n")
	for _, r := range t.rows {
		cells := []string{r.what, r.show(r.ours), "", "", "", ""}
		if r.peer != "" {
			cells[2] = r.peer + ": " + r.show(r.theirs)
			if ratio := r.result(r.ours.ratio(r.theirs)); !math.IsNaN(ratio) && !math.IsInf(ratio, 0) {
				cells[3] = fmt.Sprintf("%.2f", ratio)
			}
		}
		switch r.goal {
		case absolute:
			cells[4] = "at most " + r.unit.one(r.most)
		case relative:
			cells[4] = fmt.Sprintf("ratio at most %.3g", r.most)
		}
		if r.goal != none {
			cells[5] = map[bool]string{true: "yes", false: "**no**"}[r.met()]
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | "))
	}
	fmt.Fprintf(&b, "\nTook %v", t.took.Round(time.Second))
	if t.load != "" {
		fmt.Fprintf(&b, "; load average before it: %s", t.load)
	}
	b.WriteString(".\n\n")
	return b.String()
}

// A page is the document of one run.
type page struct {
	command string
	machine []string
	rounds  int
	tables  []table
}

func (p page) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Benchmarks\n\nWritten by `%s` on %s. The sides of a comparison took turns in the same run.\n", p.command, time.Now().UTC().Format(time.DateOnly))
	fmt.Fprintf(&b, "Each figure is the median of %d rounds or more with the least and the most in brackets, or the most where the row says so;\n", p.rounds)
	b.WriteString("a ratio is the median of those of the rounds.\n\n")
	for _, m := range p.machine {
		fmt.Fprintf(&b, "- %s\n", m)
	}
	fmt.Fprintf(&b, "\n%s\n\n", p.verdict())
	for _, t := range p.tables {
		b.WriteString(t.String())
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// verdict says which targets were missed.
func (p page) verdict() string {
	var missed []string
	targets := 0
	for _, t := range p.tables {
		for _, r := range t.rows {
			if r.goal != none {
				targets++
			}
			if !r.met() {
				missed = append(missed, fmt.Sprintf("%s, %s", t.name, r.what))
			}
		}
	}
	if len(missed) == 0 {
		return fmt.Sprintf("All %d targets are met.", targets)
	}
	return fmt.Sprintf("%d of %d targets are missed: %s.", len(missed), targets, strings.Join(missed, "; "))
}

// A peer is a program that throttle is measured against.
type peer struct{ name, get string }

func peers() []peer {
	return []peer{
		{"pv", "apt-get install pv, or brew install pv"},
		{"xargs", "apt-get install findutils"},
		{"parallel", "apt-get install parallel, or brew install parallel"}, // sem comes with it
		{"curl", "apt-get install curl"},
		{"flock", "apt-get install util-linux, or brew install flock"},
		{"redis-server", "apt-get install redis-server, or brew install redis"},
	}
}

// machine says what was measured, on what.
func (b *bench) machine() []string {
	cpu := runtime.GOARCH
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, rest, ok := strings.Cut(string(info), "model name\t: "); ok {
			cpu, _, _ = strings.Cut(rest, "\n")
		}
	}
	m := []string{fmt.Sprintf("%d cores, %s", runtime.NumCPU(), cpu)}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		m = append(m, unix.ByteSliceToString(name.Sysname[:])+" "+unix.ByteSliceToString(name.Release[:]))
	}
	m = append(m, runtime.Version())
	if commit := firstLine("git", "describe", "--tags", "--always", "--dirty"); commit != "" {
		m = append(m, "throttle at "+commit)
	}
	for _, p := range peers() {
		if b.missing[p.name] {
			m = append(m, p.name+" was not installed")
		} else {
			v, _, _ := strings.Cut(firstLine(p.name, "--version"), " - ") // pv goes on with its author
			m = append(m, v)
		}
	}
	return m
}

// firstLine returns what a command says first.
func firstLine(argv ...string) string {
	out, _ := exec.Command(argv[0], argv[1:]...).Output() // what fails has nothing to say
	line, _, _ := strings.Cut(string(out), "\n")
	return line
}

// loadAverage returns that of the last minute, where the system tells.
func loadAverage() string {
	text, _ := os.ReadFile("/proc/loadavg") // elsewhere there's none
	load, _, _ := strings.Cut(string(text), " ")
	return load
}
