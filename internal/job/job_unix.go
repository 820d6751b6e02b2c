//go:build unix

package job

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

const killSignal = syscall.SIGKILL

// signalGroup sends the signal to every process of the group.
func signalGroup(pgid int, sig syscall.Signal) {
	_ = syscall.Kill(-pgid, sig) // ESRCH: they are gone
	if sig != syscall.SIGKILL && sig != syscall.SIGCONT {
		_ = syscall.Kill(-pgid, syscall.SIGCONT) // a stopped process would not see it
	}
}

func groupAlive(pgid int) bool { return syscall.Kill(-pgid, 0) == nil }

func status(s *os.ProcessState) (code int, sig syscall.Signal) {
	ws, ok := s.Sys().(syscall.WaitStatus)
	if ok && ws.Signaled() {
		return 128 + int(ws.Signal()), ws.Signal()
	}
	return s.ExitCode(), 0
}

// readNow reads what is there, and returns 0 or less where nothing is.
func readNow(fd uintptr, buf []byte) int {
	n, err := syscall.Read(int(fd), buf)
	if err != nil {
		return -1
	}
	return n
}

func signals() map[string]syscall.Signal {
	m := make(map[string]syscall.Signal)
	for n := syscall.Signal(1); n < 65; n++ {
		if name := unix.SignalName(n); name != "" {
			m[name[len("SIG"):]] = n
		}
	}
	return m
}
