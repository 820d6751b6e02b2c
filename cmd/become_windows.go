package cmd

import (
	"errors"
	"os/exec"

	"github.com/throttle-cli/throttle/internal/batch"
)

// become runs a command to its end, and ends like it: Windows can't replace a process.
func become(path string, argv, env []string, std streams) error {
	c := &exec.Cmd{Path: path, Args: argv, Env: env, Stdin: std.in, Stdout: std.out, Stderr: std.err}
	err := c.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &exit):
		return exitCode(exit.ExitCode())
	}
	return &batch.StartError{Name: argv[0], Err: err}
}
