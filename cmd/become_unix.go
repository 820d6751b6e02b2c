//go:build unix

package cmd

import (
	"errors"
	"syscall"

	"github.com/throttle-cli/throttle/internal/batch"
)

// become replaces this process by a command. It returns if that can't be done. A file that the kernel does not know how
// to execute is a script, as for execvp(3).
func become(path string, argv, env []string, _ streams) error {
	err := syscall.Exec(path, argv, env)
	if errors.Is(err, syscall.ENOEXEC) {
		err = syscall.Exec("/bin/sh", append([]string{"sh", path}, argv[1:]...), env)
	}
	return &batch.StartError{Name: argv[0], Err: err}
}
