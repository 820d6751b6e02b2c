package cmd

import "strconv"

// An exitCode ends the process with that code. What there was to say has been said.
type exitCode int

func (e exitCode) Error() string { return "exit code " + strconv.Itoa(int(e)) }

const (
	codeFailed = 125 // throttle itself failed, usage included
	codeSignal = 128 // plus the number of the signal that ended it
)
