package job

import "syscall"

// sys says how a command is started: as the leader of a process group, or in ours. When this process is killed the
// command is told to end.
func sys(ownGroup bool) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: ownGroup, Pdeathsig: syscall.SIGTERM}
}

// makePipe takes no syscall.ForkLock, which is free only while no command is being started.
func makePipe(p *[2]int) error { return syscall.Pipe2(p[:], syscall.O_CLOEXEC) }
