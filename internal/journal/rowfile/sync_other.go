//go:build !linux

package rowfile

import "os"

// syncData brings the file to the disk.
func syncData(f *os.File) error { return f.Sync() }
