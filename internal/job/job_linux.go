package job

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
)

// sys says how a command is started: as the leader of a process group, or in ours. When this process is killed the
// command is told to end.
func sys(ownGroup bool) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: ownGroup, Pdeathsig: syscall.SIGTERM}
}

// makePipe takes no syscall.ForkLock, which is free only while no command is being started.
func makePipe(p *[2]int) error { return syscall.Pipe2(p[:], syscall.O_CLOEXEC) }

// dead reports whether all that is left of the group are zombies, as they are where the init of a container does not wait
// for the processes that it inherits. It looks at every process there is.
func (t target) dead() bool {
	proc, err := os.Open("/proc")
	if err != nil {
		return false
	}
	defer proc.Close() //nolint:errcheck // it is only read
	names, _ := proc.Readdirnames(-1)
	group, found := []byte(strconv.Itoa(t.pid)), false
	for _, name := range names {
		if name[0] < '0' || name[0] > '9' {
			continue
		}
		stat, err := os.ReadFile("/proc/" + name + "/stat")
		if err != nil { // it is gone
			continue
		}
		// proc_pid_stat(5): behind the name in parentheses are the state, the parent, the group, ..., 18th the threads.
		f := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if len(f) < 18 || !bytes.Equal(f[2], group) {
			continue
		}
		if found = true; f[0][0] != 'Z' || string(f[17]) != "1" { // other threads may live on
			return false
		}
	}
	return found
}
