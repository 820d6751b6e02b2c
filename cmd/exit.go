package cmd

import (
	"errors"
	"strconv"
	"syscall"

	"github.com/throttle-cli/throttle/internal/batch"
	"github.com/throttle-cli/throttle/internal/job"
)

// An exitCode ends the process with that code. What there was to say has been said.
type exitCode int

func (e exitCode) Error() string { return "exit code " + strconv.Itoa(int(e)) }

const (
	codeWrongFile  = 1   // of limits check: there is something wrong
	codeNotGranted = 75  // EX_TEMPFAIL: no grant in the time given
	codeSomeFailed = 123 // jobs have failed; the command of exec too, although its own code is 0
	codeHalted     = 124 // ended by --halt; a command that has timed out has it too
	codeFailed     = 125 // throttle itself failed, usage included
	codeCannotRun  = 126 // a command is there and can't be executed
	codeNotFound   = 127 // there is no such command
	codeSignal     = 128 // plus the number of the signal that ended it
)

// A codeValue is the value of a flag that is an exit code.
type codeValue int

func (c *codeValue) String() string { return strconv.Itoa(int(*c)) }

// Set is that of pflag.Value.
func (c *codeValue) Set(s string) error {
	n, err := strconv.ParseUint(s, 10, 8)
	if err != nil {
		return errors.New("it is 0 to 255")
	}
	*c = codeValue(n)
	return nil
}

// Type is that of pflag.Value.
func (*codeValue) Type() string { return "code" }

// codeOf returns the code for an error that ended throttle.
func codeOf(err error) int {
	var code exitCode
	var interrupt *job.Interrupt
	var start *batch.StartError
	var halt *batch.HaltError
	var refused *refusedError
	var blocked *blockedError
	switch {
	case errors.As(err, &code):
		return int(code)
	case errors.As(err, &blocked):
		return blocked.code
	case errors.As(err, &interrupt):
		return codeSignal + int(interrupt.Signal)
	case errors.As(err, &refused):
		return codeNotGranted
	case errors.As(err, &halt):
		return codeHalted
	case errors.As(err, &start) && job.NotFound(start.Err):
		return codeNotFound
	case errors.As(err, &start) && job.Short(start.Err):
		return codeFailed
	case errors.As(err, &start):
		return codeCannotRun
	}
	return codeFailed
}

// isEPIPE reports whether a consumer has closed its end.
func isEPIPE(err error) bool { return errors.Is(err, syscall.EPIPE) }

// A refusedError says that there was no grant, which is no fault.
type refusedError struct{ text string }

func (e *refusedError) Error() string { return e.text }

// A blockedError says that nothing is granted to a limit or an account.
type blockedError struct {
	text string // as config.Blocked says it
	code int    // the exit code
}

func (e *blockedError) Error() string { return e.text }
