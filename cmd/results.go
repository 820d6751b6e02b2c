package cmd

import (
	"fmt"
	"io"
	"sync"

	"github.com/throttle-cli/throttle/internal/batch"
	"github.com/throttle-cli/throttle/internal/results"
	"github.com/throttle-cli/throttle/internal/template"
)

// kept are the results of jobs, in files of their own. A nil one keeps none.
type kept struct {
	dir *results.Results

	mu    sync.Mutex
	files map[int]*results.Files // of the jobs that run, by number
}

func openResults(dir, lineString string) (*kept, error) {
	if dir == "" {
		return nil, nil //nolint:nilnil // a nil one is a good one
	}
	r, err := results.Open(dir, lineString)
	if err != nil {
		return nil, fmt.Errorf("--results: %w", err)
	}
	return &kept{dir: r, files: make(map[int]*results.Files)}, nil
}

// check fails for a task that can't have a place.
func (k *kept) check(t batch.Task) error {
	if k == nil {
		return nil
	}
	v, _ := t.Command(0, 1).Values.(template.Values)
	if err := k.dir.Check(len(v.Args)); err != nil {
		return fmt.Errorf("--results: %s: %w", t.Name, err)
	}
	return nil
}

// open has the output of an attempt written to its files too. Those of an attempt before it are removed.
func (k *kept) open(a *batch.Attempt, stdout, stderr io.Writer) (io.Writer, io.Writer, error) {
	if k == nil {
		return stdout, stderr, nil
	}
	v, _ := a.Command.Values.(template.Values)
	v.Seq, v.Slot = a.Seq, a.Slot
	f, err := k.dir.Job(v)
	if err != nil {
		return nil, nil, fmt.Errorf("--results: %s: %w", a.Task.Name, err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.files[a.Seq] = f
	return io.MultiWriter(f.Stdout, stdout), io.MultiWriter(f.Stderr, stderr), nil
}

// close closes the files of an attempt that has ended.
func (k *kept) close(a *batch.Attempt) error {
	if k == nil {
		return nil
	}
	k.mu.Lock()
	f := k.files[a.Seq]
	delete(k.files, a.Seq)
	k.mu.Unlock()
	if f == nil {
		return nil
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("--results: %w", err)
	}
	return nil
}

func (k *kept) end() {
	if k != nil {
		_ = k.dir.Close() // the files of jobs are closed by themselves
	}
}
