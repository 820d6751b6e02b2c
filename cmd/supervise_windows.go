package cmd

import (
	"os"
	"syscall"
)

// relayed are the signals that are passed on to a command that we stay for.
func relayed() []os.Signal { return []os.Signal{syscall.SIGINT, syscall.SIGTERM} }

// onTerminal reports whether a command is to stay on our console.
func onTerminal() bool { return true }
