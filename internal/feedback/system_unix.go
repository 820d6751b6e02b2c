//go:build unix

package feedback

import (
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxCode is the highest exit code there is.
const maxCode = 255

// signalNumber returns the signal with the name, such as SIGTERM, or 0.
func signalNumber(name string) syscall.Signal { return unix.SignalNum(name) }

func signalName(sig syscall.Signal) string {
	if name := unix.SignalName(sig); name != "" {
		return strings.TrimPrefix(name, "SIG")
	}
	return strconv.Itoa(int(sig))
}
