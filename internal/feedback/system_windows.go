package feedback

import (
	"strconv"
	"syscall"
)

// maxCode is the highest exit code there is.
const maxCode = 1<<32 - 1

// signalNumber returns the signal with the name, such as SIGTERM, or 0. No process of Windows is ended by one.
func signalNumber(name string) syscall.Signal {
	return map[string]syscall.Signal{
		"SIGHUP": syscall.SIGHUP, "SIGINT": syscall.SIGINT, "SIGKILL": syscall.SIGKILL, "SIGQUIT": syscall.SIGQUIT, "SIGTERM": syscall.SIGTERM,
	}[name]
}

func signalName(sig syscall.Signal) string { return strconv.Itoa(int(sig)) }
