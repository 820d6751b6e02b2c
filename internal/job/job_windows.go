package job

import (
	"os"
	"syscall"
	"time"
)

const killSignal = syscall.SIGKILL

// sys keeps the console's Ctrl-C from a command with a group of its own: we pass it on.
func sys(ownGroup bool) *syscall.SysProcAttr {
	if !ownGroup {
		return nil
	}
	return &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}

// signal ends the process: Windows has no other signal for it, and does not say who its children are.
func (t target) signal(syscall.Signal) {
	if p, err := os.FindProcess(t.pid); err == nil {
		_ = p.Kill()
		_ = p.Release()
	}
}

// alive is asked once the leader is gone, and that is all that can be known.
func (target) alive() bool { return false }

func (target) dead() bool { return true }

func status(s *os.ProcessState) (code int, sig syscall.Signal) { return s.ExitCode(), 0 }

// A readEnd is the end of a pipe that is read from.
type readEnd struct{ f *os.File }

func pipe() (r readEnd, w *os.File, err error) {
	f, w, err := os.Pipe()
	return readEnd{f}, w, err
}

func (r readEnd) file() *os.File { return r.f }

func (r readEnd) close() { _ = r.f.Close() }

// readNow is for a pipe that a child of the command holds open; Windows can't read it without waiting.
func (readEnd) readNow([]byte) int { return -1 }

func (readEnd) await(time.Duration) bool { return false }

func signalName(sig syscall.Signal) string {
	if sig == syscall.SIGINT {
		return "Ctrl-C"
	}
	return sig.String()
}

func signals() map[string]syscall.Signal {
	return map[string]syscall.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "KILL": syscall.SIGKILL, "HUP": syscall.SIGHUP}
}
