//go:build unix && !linux

package job

import "syscall"

// ownGroup makes the command the leader of a process group.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
