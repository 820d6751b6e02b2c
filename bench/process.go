//go:build unix

package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"
)

// A usage is what a process took.
type usage struct {
	wall, cpu time.Duration
	rss       int64 // the most memory it had at a time, in bytes; never below what bench itself has had
}

// A process is one that has started.
type process struct {
	argv  []string
	start time.Time
	*os.Process
}

// start starts a command. A nil file is /dev/null; stderr always is.
func start(stdin, stdout *os.File, argv ...string) (*process, error) {
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return nil, err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close() //nolint:errcheck // nothing was written
	files := []*os.File{stdin, stdout, null}
	for i := range files {
		if files[i] == nil {
			files[i] = null
		}
	}
	began := time.Now()
	p, err := os.StartProcess(path, argv, &os.ProcAttr{Files: files})
	return &process{argv: argv, start: began, Process: p}, err
}

// shrink gives back what bench does not need, so that its own memory hides little of that of the next command: the system counts
// the most that a process has had from before it became the command.
func shrink() {
	debug.FreeOSMemory()
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // forgets the most so far; elsewhere there is no such file
}

// end waits for a process that is to succeed.
func (p *process) end() (usage, error) {
	state, err := p.Wait()
	wall := time.Since(p.start)
	if err != nil {
		return usage{}, err
	}
	if !state.Success() {
		return usage{}, fmt.Errorf("%q: %v", p.argv, state)
	}
	rss := int64(state.SysUsage().(*syscall.Rusage).Maxrss) //nolint:unconvert // it is not an int64 everywhere
	if runtime.GOOS != "darwin" {
		rss *= 1024
	}
	return usage{wall: wall, cpu: state.UserTime() + state.SystemTime(), rss: rss}, nil
}

// pipeline runs commands, each of which reads what the one before it writes, and returns what the second took, with the
// wall time of all. The first reads stdin, the last writes to /dev/null.
func pipeline(stdin *os.File, argvs ...[]string) (usage, error) {
	began := time.Now()
	var stages []*process
	in := stdin
	for i, argv := range argvs {
		var next, out *os.File
		if i < len(argvs)-1 {
			var err error
			if next, out, err = os.Pipe(); err != nil {
				return usage{}, err
			}
		}
		p, err := start(in, out, argv...)
		if in != stdin {
			_ = in.Close()
		}
		_ = out.Close() // of nil it's an error that does not matter
		if err != nil {
			return usage{}, err
		}
		stages, in = append(stages, p), next
	}
	var of usage
	for i, p := range stages {
		u, err := p.end()
		if err != nil {
			return usage{}, err
		}
		if i == 1 {
			of = u
		}
	}
	of.wall = time.Since(began)
	return of, nil
}

// fromFile runs a command that reads a file from its start, and whose output goes nowhere.
func fromFile(f *os.File, argv ...string) (usage, error) {
	if _, err := f.Seek(0, 0); err != nil {
		return usage{}, err
	}
	shrink()
	p, err := start(f, nil, argv...)
	if err != nil {
		return usage{}, err
	}
	return p.end()
}

// toEnd runs a command that has no input and whose output goes nowhere.
func toEnd(argv ...string) (usage, error) {
	p, err := start(nil, nil, argv...)
	if err != nil {
		return usage{}, err
	}
	return p.end()
}
