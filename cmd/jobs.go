package cmd

import (
	"runtime"

	"github.com/throttle-cli/throttle/pacer"
)

const (
	// A command that calls an API waits most of the time: a core carries many.
	jobsPerCore = 64
	// What we have open for a job while it starts, and what we have open anyway.
	filesPerJob, ownFiles = 6, 32
)

// defaultJobs returns how many jobs may run at once when nobody has said. A rate needs as many as it takes, up to a cap
// that fits the machine; without a rate a job for each core keeps the machine busy.
func defaultJobs(limit pacer.Limit) int {
	if limit.IsUnlimited() {
		return runtime.NumCPU()
	}
	return max(1, min(jobsPerCore*runtime.NumCPU(), (descriptors()-ownFiles)/filesPerJob))
}
