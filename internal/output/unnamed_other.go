//go:build !linux

package output

import "os"

// unnamed returns a file without a name.
func unnamed(dir string) (*os.File, error) { return named(dir) }
