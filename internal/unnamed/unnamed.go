// Package unnamed makes files that have no name: what is kept in one is gone with the process, however that ends.
package unnamed

import "os"

// named makes a file and takes its name away, where a file can't be made without one.
func named(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "throttle-")
	if err != nil {
		return nil, err
	}
	_ = os.Remove(f.Name()) // on Windows an open file keeps its name
	return f, nil
}
