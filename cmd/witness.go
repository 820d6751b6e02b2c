package cmd

import (
	"cmp"
	"fmt"
	"io"

	"github.com/throttle-cli/throttle/internal/batch"
	"github.com/throttle-cli/throttle/internal/feedback"
	"github.com/throttle-cli/throttle/internal/tally"
)

// A witness sees each attempt: it writes it down, counts it, and says what there is to say.
type witness struct {
	history *history
	results *kept
	tally   *tally.Tally
	log     *logger
	verbose func(a *batch.Attempt) // is given each one that starts; nil for none
}

// Starting is that of batch.Observer.
func (w *witness) Starting(a *batch.Attempt) error {
	if err := w.history.start(a); err != nil {
		return err
	}
	if w.verbose != nil {
		w.verbose(a)
	}
	w.tally.Start(a.N == 1, a.Waited)
	return nil
}

// Output is that of batch.Observer.
func (w *witness) Output(a *batch.Attempt, stdout, stderr io.Writer) (io.Writer, io.Writer, error) {
	return w.results.open(a, stdout, stderr)
}

// Ended is that of batch.Observer.
func (w *witness) Ended(a *batch.Attempt) error {
	err := w.history.end(a)
	if closeErr := w.results.close(a); err == nil {
		err = closeErr
	}
	o := a.Outcome
	e := tally.Ending{Run: o.End.Sub(o.Start), Throttled: a.Verdict.Kind == feedback.Throttled, TimedOut: o.TimedOut}
	switch {
	case a.Interrupted || o.StartErr != nil:
		e.Verdict = tally.Interrupted
	case a.Again:
		e.Verdict = tally.Again
	case a.Verdict.Kind != feedback.Succeeded:
		e.Verdict = tally.Failed
	}
	w.tally.End(e)
	w.say(a, e)
	return err
}

// say tells of attempts that are not the end of the matter, and programs also of those that are.
func (w *witness) say(a *batch.Attempt, e tally.Ending) {
	name, with := called(a)
	with = append(with, "attempt", a.N, "exit", a.Outcome.ExitCode, "run", a.Outcome.End.Sub(a.Outcome.Start).Seconds(), "input", a.Task.Content)
	why := cmp.Or(a.Verdict.Why, ending(a.Outcome))
	switch {
	case e.Verdict == tally.Again && !e.Throttled:
		last := ""
		if a.Last != "" {
			last = fmt.Sprintf(" (%.120q)", a.Last) // it may have anything in it
		}
		w.log.note(fmt.Sprintf("%s: attempt %d: %s%s; again in %v", name, a.N, why, last, round(a.In)), append(with, "again_in", a.In.Seconds())...)
	case e.Verdict == tally.Failed:
		w.log.detail(fmt.Sprintf("%s failed: %s", name, why), with...)
	}
}

// called names the job of an attempt, for people and for programs. The command of exec is no job: it has no number.
func called(a *batch.Attempt) (name string, attributes []any) {
	if a.Seq == 0 {
		return a.Task.Name, []any{"command", a.Task.Name}
	}
	return fmt.Sprintf("job %d (%s)", a.Seq, a.Task.Name), []any{"job", a.Seq}
}
