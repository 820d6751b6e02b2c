package cmd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"github.com/throttle-cli/throttle/internal/batch"
	"github.com/throttle-cli/throttle/internal/feedback"
	"github.com/throttle-cli/throttle/internal/joblog"
	"github.com/throttle-cli/throttle/internal/journal"
	"github.com/throttle-cli/throttle/internal/record"
)

// historyOptions say where it is written down what became of each job, and what counts of it when the input is read
// again.
type historyOptions struct {
	journal, joblog string
	resume          bool
	resumeFailed    bool
	inFlight        string
	given           func(flag string) bool // whether a flag stands on the command line
}

func (o *historyOptions) addFlags(f *pflag.FlagSet) {
	f.Var((*name)(&o.journal), "journal", "write down each attempt in `FILE`, as JSON Lines")
	f.Var((*name)(&o.joblog), "joblog", "write down each job in `FILE`, as GNU parallel does")
	f.BoolVar(&o.resume, "resume", false, "skip what the journal or joblog says is done")
	f.BoolVar(&o.resumeFailed, "resume-failed", false, "the same, but run again what failed")
	o.inFlight = journal.Rerun.String()
	f.Var(&choice{&o.inFlight, []string{journal.Rerun.String(), journal.Skip.String()}}, "in-flight", "`WHAT` to do with jobs that ran at a crash: rerun, skip")
	o.given = func(flag string) bool { return givenHere(f, flag) }
}

// check fails for flags that can't go together.
func (o *historyOptions) check() error {
	resumes := o.resume || o.resumeFailed
	switch {
	case resumes && o.journal == "" && o.joblog == "":
		flag := "--resume"
		if o.resumeFailed {
			flag = "--resume-failed"
		}
		return fmt.Errorf("%s needs to know what is done: --journal FILE or --joblog FILE", flag)
	case o.given("in-flight") && (!resumes || o.journal == ""):
		return errors.New("--in-flight does nothing without --resume and --journal: what ran at a crash is known from there")
	}
	return nil
}

// notInput fails if a file that is written down in is also read: what is written would be read, and done, without an end.
func (o *historyOptions) notInput(in record.Input, std streams) error {
	for _, f := range []struct{ flag, name string }{{"--journal", o.journal}, {"--joblog", o.joblog}} {
		stdin, isFile := std.in.(*os.File)
		var same bool
		if isFile && in.Reader == std.in {
			a, err := os.Stat(f.name)
			b, errIn := stdin.Stat()
			same = err == nil && errIn == nil && os.SameFile(a, b)
		} else {
			same = f.name != "" && sameFile(f.name, in.Name)
		}
		if same {
			return fmt.Errorf("%s %q is the input: it is written while that is read, name another file", f.flag, f.name)
		}
	}
	return nil
}

// A history is what is known of jobs, of this run and of former ones.
type history struct {
	journal *journal.Journal // nil without one
	joblog  *joblog.Log      // nil without one
	key     string
	// ledger knows former runs: by the contents of tasks, or by their commands where a joblog is all there is.
	ledger     *journal.Ledger
	byCommands bool
	resumes    bool
	policy     journal.Policy
	skipped    int // tasks, and of those:
	failed     int // failed before
	flown      int // were in flight

	mu        sync.Mutex
	unwritten []batch.Task // have ended, and it could not be written down
}

// history returns one that knows of nothing yet.
func (o *historyOptions) history(key string) *history {
	h := &history{key: key, resumes: o.resume || o.resumeFailed}
	h.policy = journal.Policy{Failed: o.resumeFailed}
	if o.inFlight == journal.Skip.String() {
		h.policy.InFlight = journal.Skip
	}
	return h
}

// look only reads what is asked for.
func (o *historyOptions) look(key string) (h *history, err error) {
	h = o.history(key)
	switch {
	case !h.resumes:
	case o.journal != "":
		if h.ledger, err = journal.Read(o.journal); err != nil {
			return nil, fmt.Errorf("--journal: %w", err)
		}
	default:
		err = o.readJoblog(h)
	}
	return h, err
}

// open opens what is asked for, before anything is run.
func (o *historyOptions) open(mode string, command []string, key string, version string, log *logger) (*history, error) {
	h := o.history(key)
	if err := o.openJournal(h, mode, command, version, log); err != nil {
		return nil, err
	}
	if err := o.openJoblog(h, log); err != nil {
		h.close()
		return nil, err
	}
	if h.resumes {
		h.report(log)
	}
	return h, nil
}

func (o *historyOptions) openJournal(h *history, mode string, command []string, version string, log *logger) error {
	if o.journal == "" {
		return nil
	}
	j, err := journal.Open(o.journal, journal.Options{Version: version, Mode: mode, Command: command, Key: h.key, Resume: h.resumes})
	if err != nil {
		return fmt.Errorf("--journal: %w", err)
	}
	if what := j.Repaired(); what != "" {
		log.warn(fmt.Sprintf("warning: %s: %s", o.journal, what))
	}
	h.journal, h.ledger = j, j.Ledger()
	return nil
}

func (o *historyOptions) openJoblog(h *history, log *logger) (err error) {
	switch {
	case o.joblog == "":
		return nil
	case !h.resumes:
		h.joblog, err = joblog.Create(o.joblog)
	default:
		h.joblog, err = joblog.Open(o.joblog)
	}
	if err != nil {
		return fmt.Errorf("--joblog: %w", err)
	}
	if what := h.joblog.Repaired(); what != "" {
		log.warn(fmt.Sprintf("warning: %s: %s", o.joblog, what))
	}
	if !h.resumes || h.ledger != nil {
		return nil
	}
	return o.readJoblog(h)
}

// readJoblog has the joblog say what is done.
func (o *historyOptions) readJoblog(h *history) error {
	var b journal.Builder
	err := joblog.Read(o.joblog, func(r joblog.Row) error {
		b.Add([]byte(r.Key()), r.Seq, r.OK())
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // there is one when it is written
		return fmt.Errorf("--joblog: %w", err)
	}
	h.ledger, h.byCommands = b.Ledger(), true
	return nil
}

// report says what former runs have left.
func (h *history) report(log *logger) {
	counts := h.ledger.Counts()
	done := counts[journal.Good] + counts[journal.Bad]
	log.note(fmt.Sprintf("resuming: %s done before, %d of them failed", plural(done, "job"), counts[journal.Bad]),
		"done", counts[journal.Good], "failed", counts[journal.Bad], "in_flight", counts[journal.InFlight])
	flights := h.ledger.InFlight()
	if len(flights) == 0 {
		return
	}
	verb := "run again"
	if h.policy.InFlight == journal.Skip {
		verb = "skipped, and count as failed"
	}
	var list strings.Builder
	for _, f := range flights {
		fmt.Fprintf(&list, "\n  job %d, started %s: %q", f.Seq, f.Started.Local().Format(clockFormat(f.Started.Local(), time.Now())), f.Input)
	}
	log.warn(fmt.Sprintf("%s in flight when the last run was ended, perhaps done, perhaps not; %s:%s", plural(len(flights), "job"), verb, list.String()), "in_flight", len(flights))
}

// decide gives a task its place in the history, and reports whether it is to be run.
func (h *history) decide(task *batch.Task) (run bool, err error) {
	if h.ledger == nil {
		return true, nil
	}
	content := task.Content
	if h.byCommands {
		content = commandKey(task.Command(0, 1))
	}
	item := h.ledger.Item([]byte(content))
	task.Mark = item
	if !h.resumes {
		return true, nil
	}
	d := h.ledger.Decide(item, h.policy)
	task.Seq = d.Seq
	if d.Was == journal.InFlight && h.journal != nil {
		if err := h.journal.InFlight(item, h.policy.InFlight); err != nil {
			return false, err
		}
	}
	if !d.Run {
		h.skipped++
		switch d.Was {
		case journal.Bad:
			h.failed++
		case journal.InFlight:
			h.flown++
		case journal.Good, journal.New, journal.Pending:
		}
	}
	return d.Run, nil
}

// conclude says which of those that were skipped did not succeed.
func (h *history) conclude(log *logger) {
	if h.failed > 0 {
		log.fail(oneMany(h.failed, "1 job failed before and was not run again (--resume-failed runs it)",
			"%d jobs failed before and were not run again (--resume-failed runs them)"), "failed_before", h.failed)
	}
	if h.flown > 0 {
		log.fail(oneMany(h.flown, "1 job was in flight at a crash and was not run again (--in-flight rerun runs it)",
			"%d jobs were in flight at a crash and were not run again (--in-flight rerun runs them)"), "in_flight_before", h.flown)
	}
}

// oneMany returns the text for one, or that for another number of things.
func oneMany(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return fmt.Sprintf(many, n)
}

// last returns the highest number that a job has had.
func (h *history) last() int {
	if h.ledger == nil || !h.resumes {
		return 0
	}
	return h.ledger.MaxSeq()
}

// commandKey is what a command goes by in a joblog.
func commandKey(c batch.Command) string {
	if c.Line != "" {
		return joblog.Row{Command: c.Line}.Key()
	}
	return joblog.Key(c.Argv)
}

// start writes down that an attempt starts.
func (h *history) start(a *batch.Attempt) error {
	if h.journal == nil {
		return nil
	}
	err := h.journal.Start(journal.Start{
		Item: h.item(a), Seq: a.Seq, Attempt: a.N, Slot: a.Slot, Waited: a.Waited, Key: keyOf(a.Task, h.key), Input: []byte(a.Task.Content),
	})
	if err != nil {
		return fmt.Errorf("--journal: %w", err)
	}
	return nil
}

// end writes down how an attempt ended.
func (h *history) end(a *batch.Attempt) error {
	err := h.write(a)
	if err != nil && !a.Again && !a.Interrupted && a.Outcome.StartErr == nil {
		h.mu.Lock()
		h.unwritten = append(h.unwritten, a.Task)
		h.mu.Unlock()
	}
	return err
}

func (h *history) write(a *batch.Attempt) error {
	var err error
	o := a.Outcome
	if h.journal != nil {
		err = h.journal.End(journal.End{
			Item: h.item(a), Seq: a.Seq, Attempt: a.N, Ran: o.End.Sub(o.Start), Outcome: outcome(a), Exit: o.ExitCode,
			Signal: int(o.Signal), RetryAfter: a.Verdict.After, Stdout: a.Stdout, Stderr: a.Stderr,
		})
		if err != nil {
			err = fmt.Errorf("--journal: %w", err)
		}
	}
	if h.joblog == nil || a.Again || a.Interrupted || o.StartErr != nil {
		return err
	}
	command := a.Command.Line
	if command == "" {
		command = joblog.Quote(a.Command.Argv)
	}
	row := joblog.Row{Seq: a.Seq, Start: o.Start, Runtime: o.End.Sub(o.Start), Receive: a.Stdout, Command: command}
	byCondition := o.ExitCode == 0 && a.Verdict.Kind != feedback.Succeeded // by what it wrote, say
	row.Exitval, row.Signal = joblog.Status(o.ExitCode, o.Signal, o.TimedOut || byCondition)
	if logErr := h.joblog.Append(row); logErr != nil {
		err = errors.Join(err, fmt.Errorf("--joblog: %w", logErr))
	}
	return err
}

func (*history) item(a *batch.Attempt) journal.Item {
	item, _ := a.Task.Mark.(journal.Item) // each task has one, where there is a journal
	return item
}

// outcome says how an attempt ended, as a journal says it.
func outcome(a *batch.Attempt) journal.Outcome {
	switch {
	case a.Outcome.StartErr != nil:
		return journal.Unstarted
	case a.Interrupted:
		return journal.Interrupted
	case a.Verdict.Kind == feedback.Succeeded:
		return journal.OK
	case a.Again && a.Verdict.Kind == feedback.Throttled:
		return journal.Throttled
	case a.Again:
		return journal.Retry
	case a.Outcome.TimedOut:
		return journal.Timeout
	}
	return journal.Failed
}

// stop writes down how the run ended, and closes what was open.
func (h *history) stop(s journal.Stop) error {
	var err error
	if h.journal != nil {
		err = errors.Join(h.journal.Stop(s), h.journal.Close())
	}
	if h.joblog != nil {
		err = errors.Join(err, h.joblog.Close())
	}
	return err
}

func (h *history) close() {
	if h.journal != nil {
		_ = h.journal.Close() // nothing was run
	}
	if h.joblog != nil {
		_ = h.joblog.Close()
	}
}
