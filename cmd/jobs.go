package cmd

import "runtime"

const (
	// A command that calls an API waits most of the time: a core carries many.
	jobsPerCore = 64
	// What we have open for a job at the most, and what we have open anyway. While it is being started that is both ends of
	// the pipes that it writes to and of one that says whether it could be executed, its pidfd, two files of --results and
	// one for headers.
	filesPerJob, ownFiles = 10, 12
	// A thread waits for each job, and the Go runtime gives up at 10,000.
	jobsAtAll = 9000
	// A key that is kept open costs some 8 KB. With twice as many, lines that have 10,000 keys by chance go an eighth faster, with
	// half as many not much slower.
	keysAtAll = 4096
)

// mostJobs returns how many jobs may run at once, whatever was asked for.
func mostJobs() int { return max(1, min(jobsAtAll, (descriptors()-ownFiles)/filesPerJob)) }

// mostFiles returns how many state files may be open at once, for lines with keys.
func mostFiles() int { return max(1, min(keysAtAll, (descriptors()-ownFiles)/4)) }

// defaultJobs returns how many jobs may run at once when nobody has said. A rate needs as many as it takes, up to a cap
// that fits the machine; without a rate a job for each core keeps the machine busy.
func defaultJobs(unlimited bool) int {
	if unlimited {
		return runtime.NumCPU()
	}
	return min(jobsPerCore*runtime.NumCPU(), mostJobs())
}
