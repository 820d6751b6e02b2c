package job

import "syscall"

// ownGroup makes the command the leader of a process group. When this process is killed the command is told to end.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}

// makePipe takes no syscall.ForkLock, which is free only while no command is being started.
func makePipe(p *[2]int) error { return syscall.Pipe2(p[:], syscall.O_CLOEXEC) }
