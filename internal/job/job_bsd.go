//go:build unix && !linux

package job

import "syscall"

// sys says how a command is started: as the leader of a process group, or in ours.
func sys(ownGroup bool) *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: ownGroup} }

// makePipe makes a pipe in two steps: no command may be started between them, or it would have the ends too.
func makePipe(p *[2]int) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	err := syscall.Pipe(p[:])
	if err == nil {
		syscall.CloseOnExec(p[0])
		syscall.CloseOnExec(p[1])
	}
	return err
}

// dead would report whether all that is left of the group are zombies. Here init waits for what it inherits.
func (target) dead() bool { return false }
