//go:build unix

package job

import (
	"cmp"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const killSignal = syscall.SIGKILL

// signal sends the signal to every process of the group.
func (t target) signal(sig syscall.Signal) {
	to := -t.pid
	if t.alone {
		to = t.pid
	}
	_ = syscall.Kill(to, sig) // ESRCH: they are gone
	if sig != syscall.SIGKILL && sig != syscall.SIGCONT {
		_ = syscall.Kill(to, syscall.SIGCONT) // a stopped process would not see it
	}
}

// alive reports whether there are processes in the group, whose leader is gone. Where we are the init of a container
// they become our children, and are dead for good when they are waited for.
func (t target) alive() bool {
	if t.alone {
		return false
	}
	for {
		if pid, err := syscall.Wait4(-t.pid, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
			break
		}
	}
	return syscall.Kill(-t.pid, 0) == nil
}

func status(s *os.ProcessState) (code int, sig syscall.Signal) {
	ws, ok := s.Sys().(syscall.WaitStatus)
	if ok && ws.Signaled() {
		return 128 + int(ws.Signal()), ws.Signal()
	}
	return s.ExitCode(), 0
}

// A readEnd is the end of a pipe that is read from. As long as nobody waits for it the runtime's poller does not know it: to
// be told of what is written, and of the end, would wake a thread each time.
type readEnd int

// pipe returns a pipe whose reading end does not block, and whose writing end is as a command expects it.
func pipe() (r readEnd, w *os.File, err error) {
	var p [2]int
	if err := makePipe(&p); err != nil {
		return -1, nil, os.NewSyscallError("pipe", err)
	}
	if err := syscall.SetNonblock(p[0], true); err != nil {
		_, _ = syscall.Close(p[0]), syscall.Close(p[1])
		return -1, nil, os.NewSyscallError("fcntl", err)
	}
	return readEnd(p[0]), os.NewFile(uintptr(p[1]), "|1"), nil
}

// file returns what can be waited for. It has to be closed in the place of the end.
func (r readEnd) file() *os.File { return os.NewFile(uintptr(r), "|0") }

func (r readEnd) close() { _ = syscall.Close(int(r)) }

// readNow reads what is there. It returns 0 at the end, and less where nothing is there.
func (r readEnd) readNow(buf []byte) int {
	n, err := syscall.Read(int(r), buf)
	if err != nil {
		return -1
	}
	return n
}

// await waits until there is something to read, or the end, for d at the most. It holds a thread, and costs less than to
// have the poller do it.
func (r readEnd) await(d time.Duration) bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(r), Events: unix.POLLIN}}, int(d.Milliseconds()))
	return n > 0 && err == nil
}

func signalName(sig syscall.Signal) string { return cmp.Or(unix.SignalName(sig), sig.String()) }

func signals() map[string]syscall.Signal {
	m := make(map[string]syscall.Signal)
	for n := syscall.Signal(1); n < 65; n++ {
		if name := unix.SignalName(n); name != "" {
			m[name[len("SIG"):]] = n
		}
	}
	return m
}
