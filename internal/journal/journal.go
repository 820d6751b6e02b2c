// Package journal records what happens to each item of an input: JSON Lines that say when an attempt starts, before it
// does, and how it ended, before that is relied on. When the input is read again, after a crash too, a Ledger says what
// is left to do: by the content of an item and not by its place, however the input was reordered or extended.
package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/throttle-cli/throttle/internal/journal/rowfile"
)

// Format is the version of the format, which is in each run row. Rows of a type, and fields, that are not known are
// left out by the one who reads, and so may be added without a new version.
const Format = 1

// Options describe a run, for the first row that it writes.
type Options struct {
	Version string    // of throttle
	Mode    string    // "lines", "run", ...
	Command []string  // the words, with their replacement strings
	Key     string    // whose limit it is, or ""
	Resume  bool      // whether what the journal says of former runs counts; if not it counts no more, for later ones too
	Time    time.Time // zero is now
}

// A Journal is open for writing, by this process only. Its methods may be called by several goroutines at once.
type Journal struct {
	file     *rowfile.File
	ledger   *Ledger
	repaired string
	buffers  sync.Pool
}

// A LockedError says that another process writes the journal.
type LockedError struct {
	Path string
	PID  int // of the process; 0 if it's not known
}

func (e *LockedError) Error() string {
	who := "another throttle"
	if e.PID != 0 {
		who = fmt.Sprintf("another throttle, process %d,", e.PID)
	}
	return fmt.Sprintf("%s writes the journal %s\nwait for its end, or use another file", who, e.Path)
}

// A FormatError says that a file is no journal, or that a row of one is damaged.
type FormatError struct {
	Path string
	Line int    // from 1
	Text string // the start of the line
	What string // "" if it's no JSON of ours, or more about it
}

func (e *FormatError) Error() string {
	switch {
	case e.What != "":
		return fmt.Sprintf("line %d of the journal %s: %s", e.Line, e.Path, e.What)
	case e.Line == 1:
		return fmt.Sprintf("%s is no journal of throttle: it begins with %s", e.Path, excerpt(e.Text))
	}
	return fmt.Sprintf("line %d of the journal %s is damaged: %s\nremove that line: what it was about is run again, or not, as the lines before it say",
		e.Line, e.Path, excerpt(e.Text))
}

// excerpt quotes the start of a text.
func excerpt(text string) string {
	const most = 100
	if len(text) > most {
		return fmt.Sprintf("%q...", text[:most])
	}
	return fmt.Sprintf("%q", text)
}

// Open opens a journal to append to it, or makes it, and reads what it says. It cuts off a torn row at the end. It
// returns a *LockedError if another process writes it, and a *FormatError if it is something else; then nothing is
// written.
func Open(path string, o Options) (*Journal, error) {
	file, err := rowfile.Open(path, 0o600) // what is in an input may be a secret
	if errors.Is(err, rowfile.ErrLocked) {
		return nil, &LockedError{Path: path, PID: writer(path)}
	}
	if err != nil {
		return nil, err
	}
	j := &Journal{file: file}
	j.buffers.New = func() any { b := make([]byte, 0, 1024); return &b }
	if err := j.begin(path, o); err != nil {
		_ = file.Close() // the other error matters
		return nil, err
	}
	return j, nil
}

// Read reads what a journal says, without writing it. One that is not there says nothing.
func Read(path string) (*Ledger, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return newLedger(), nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it is only read
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	s, err := scan(f, info.Size(), path)
	return s.ledger, err
}

func (j *Journal) begin(path string, o Options) error {
	size, err := j.file.Size()
	if err != nil {
		return err
	}
	s, err := scan(j.file, size, path)
	if err != nil {
		return err
	}
	if s.end < size {
		if err := j.file.Cut(s.end); err != nil {
			return err
		}
		j.repaired = fmt.Sprintf("line %d was torn, and %d bytes are cut off: %s", s.tornLine, size-s.end, excerpt(s.torn))
	}
	j.ledger = s.ledger
	if !o.Resume {
		j.ledger = newLedger()
	}
	return j.write(func(b []byte) []byte { return appendRun(b, o, os.Getpid()) })
}

// writer returns the number of the process that writes the journal, 0 if it's not known.
func writer(path string) int {
	f, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer f.Close() //nolint:errcheck // it is only read
	pid := lastRun(f)
	if pid == os.Getpid() || !rowfile.Alive(pid) { // it may not have come to write its row
		return 0
	}
	return pid
}

// Ledger returns what the journal said when it was opened.
func (j *Journal) Ledger() *Ledger { return j.ledger }

// Repaired says what was wrong at the end of the file, and is no more; "" if nothing was.
func (j *Journal) Repaired() string { return j.repaired }

// An Outcome says how an attempt ended.
type Outcome string

// The outcomes. After OK, Failed and Timeout the item is done with; after the others it's run again when the input is
// read again.
const (
	OK          Outcome = "ok"
	Failed      Outcome = "failed"      // for good
	Timeout     Outcome = "timeout"     // its time was over, for good
	Retry       Outcome = "retry"       // it failed, and there's another attempt
	Throttled   Outcome = "throttled"   // the remote throttled it, and there's another attempt
	Interrupted Outcome = "interrupted" // we were told to stop, and ended it
	Unstarted   Outcome = "unstarted"   // the command could not be started
)

// An Action is what is done with an item that a former run left in flight.
type Action int

// The actions.
const (
	Rerun Action = iota
	Skip
)

func (a Action) String() string {
	if a == Skip {
		return "skip"
	}
	return "rerun"
}

// A Start is the start of an attempt.
type Start struct {
	Item    Item
	Seq     int
	Attempt int           // from 1
	Slot    int           // the job slot, from 1
	Time    time.Time     // zero is now
	Waited  time.Duration // for the grant
	Key     string        // whose limit it is, or ""
	Input   []byte        // what the item is made of; the first 256 bytes are kept, for people
}

// An End is the end of an attempt.
type End struct {
	Item           Item
	Seq            int
	Attempt        int
	Time           time.Time // zero is now
	Ran            time.Duration
	Outcome        Outcome
	Exit           int // the command's own, or 128+n if signal n ended it
	Signal         int
	RetryAfter     time.Duration // how long the remote said to wait, or 0
	Stdout, Stderr int64         // bytes
}

// A Flight is an item that a former run left in flight.
type Flight struct {
	Item    Item
	Seq     int
	Attempt int
	Started time.Time
	Input   string // the start of it; bytes that are no UTF-8 are replaced
}

// A Stop is the end of a run, unless it was killed.
type Stop struct {
	Time   time.Time // zero is now
	Reason string    // "end", or why no more was started
	// Counts are of items in this run.
	OK, Failed, Skipped, Left int
	// Attempts are those started, and of them those that were throttled.
	Attempts, Throttled int
}

// Start writes that an attempt starts. It's to be called before the command is started.
func (j *Journal) Start(s Start) error {
	return j.write(func(b []byte) []byte { return appendStart(b, &s) })
}

// End writes how an attempt ended. It's to be called before the item counts as done.
func (j *Journal) End(e End) error {
	return j.write(func(b []byte) []byte { return appendEnd(b, &e) })
}

// InFlight writes what is done with an item that a former run left in flight.
func (j *Journal) InFlight(i Item, a Action) error {
	f := j.ledger.flight(i)
	return j.write(func(b []byte) []byte { return appendFlight(b, &f, a) })
}

// Stop writes that the run has come to its end.
func (j *Journal) Stop(s Stop) error {
	return j.write(func(b []byte) []byte { return appendStop(b, &s) })
}

// A WriteError says that a row could not be written, and how many are safe.
type WriteError = rowfile.WriteError

// write writes a row. It returns a *WriteError if it could not.
func (j *Journal) write(row func([]byte) []byte) error {
	buf := j.buffers.Get().(*[]byte) //nolint:forcetypeassert // nothing else is in there
	defer j.buffers.Put(buf)
	*buf = row((*buf)[:0])
	return j.file.Append(*buf)
}

// Close brings all rows to the disk and gives the journal free. It may be called again.
func (j *Journal) Close() error { return j.file.Close() }
