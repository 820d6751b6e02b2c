//go:build !linux

package unnamed

import "os"

// New returns a file without a name in the folder; an empty dir is that of temporary files.
func New(dir string) (*os.File, error) { return named(dir) }
