// Package batch runs a command for each task of a source: every start at its slot, a bounded number at once. It knows
// neither where tasks come from nor what paces them.
package batch

import (
	"context"
	"io"
	"time"

	"github.com/throttle-cli/throttle/internal/feedback"
	"github.com/throttle-cli/throttle/internal/job"
	"github.com/throttle-cli/throttle/internal/output"
)

// A Task is what one job is to do.
type Task struct {
	Name    string // for messages: "line 7 of ids.txt"
	Input   string // what it was made of, as it was read
	Content string // what makes it this task and no other
	Mark    any    // of the caller
	Limit   any    // of the caller: whose it is
	Seq     int    // its number, 0 for the next one
	Command func(seq, slot int) Command
}

// A Command is a task, made ready for its place.
type Command struct {
	Path string // the file to execute
	Argv []string
	Tag  string   // names it in the output
	Env  []string // more of the environment
	// Values are what it was made of, for the one who has made it.
	Values any
	// Line is the command as a shell takes it, "" where a shell takes Argv.
	Line string
}

// A Grant is what an attempt takes.
type Grant interface {
	// Throttled says that the remote has throttled the attempt.
	Throttled(a *Attempt) error
	// Ended says that nothing more comes of the grant: the attempt has ended, or there was none.
	Ended()
}

// Keys say whose limits tasks go by: those of a key wait in order, and hold up nobody else.
type Keys struct {
	// Of returns the key of a task.
	Of func(Task) string
	// Ahead is how many tasks may be taken from the source and wait: 1 or more.
	Ahead int
}

// An Attempt is one run of a task.
type Attempt struct {
	Task      Task
	Seq, Slot int
	N         int // which of the task's: 1 is the first
	Command   Command
	Waited    time.Duration // for the grant

	// Once it has ended:
	Outcome job.Outcome
	Verdict feedback.Verdict
	// Interrupted is whether it was ended with the batch. Its task is not done then.
	Interrupted bool
	// Again is whether the task is run again, after In at the earliest.
	Again bool
	In    time.Duration
	// Last is the last line that it wrote to stderr, where its output was looked at.
	Last string
	// Stdout and Stderr are how many bytes it wrote, where they went through us.
	Stdout, Stderr int64
}

// An Observer is told of each attempt. Its methods may be called at the same time. An error that it returns ends the
// batch: what runs is run to its end, and no more is started.
type Observer interface {
	// Starting is called before the command is started.
	Starting(a *Attempt) error
	// Output returns what the output of the attempt is to be written to, instead of what it is given.
	Output(a *Attempt, stdout, stderr io.Writer) (io.Writer, io.Writer, error)
	// Ended is called before the task counts as done, after its output was written, or could not be.
	Ended(a *Attempt) error
}

// Options say what is run, and how.
type Options struct {
	// Next returns the next task. io.EOF, or another error, is the end.
	Next func(context.Context) (Task, error)
	// Prompt, when set, reports whether Next will return without waiting. It's not called while Next runs.
	Prompt func() bool
	// Wait waits for a grant of a task. Each start takes one. It may be nil where nobody has to be told how the attempt ends. With
	// Keys it is called by one goroutine at a time for each key, otherwise by one for all.
	Wait func(context.Context, Task) (Grant, error)
	// Keys, when set, has tasks wait by keys.
	Keys *Keys
	// Paused, when set, returns nil, or what is closed when a pause ends that has begun: nothing is started before.
	Paused func() <-chan struct{}
	// Run runs a command to its end.
	Run job.Runner
	// Jobs is how many may run at once: 1 or more.
	Jobs int
	// Overlap lets the next start begin before it is known whether this one succeeds, where no rate keeps them apart. Each
	// takes as long as the system takes to execute a file.
	Overlap bool
	Output  *output.Sink
	Tagged  bool     // whether each line of the output begins with the tag of its command
	Env     []string // of the commands
	Retry   Retry
	Halt    Halt
	Seq     int           // the highest number that a task has had before
	Total   func() int    // how many jobs there are, negative if it is not known
	Timeout time.Duration // of each attempt; 0 is none
	// Observer, when set, is told of each attempt.
	Observer Observer
	// Held, when set, is called once, if a start had to wait for the end of another job although its slot had come.
	Held func()
	// Closed, when set, is asked whether the consumer of what jobs write by themselves has closed its end, when SIGPIPE has
	// ended one.
	Closed func() bool
	// Ending is how long Run takes at the most to end a command. What has not ended then waits for a consumer that does not
	// read, and is given up.
	Ending time.Duration
	// Kill, when it is closed, makes Run return soon, although jobs are left that do not end.
	Kill <-chan struct{}
}
