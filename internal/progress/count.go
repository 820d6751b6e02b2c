package progress

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
)

// countSize is how much of a file is read at once.
const countSize = 128 << 10

// Countable reports whether a file can be counted while others read it: it is a regular one.
func Countable(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode().IsRegular()
}

// Count returns how many records a file has from an offset on. Each ends with delim, but for the last one, which need
// not. The offset at which others read it does not move. When ctx ends, Count returns the cause.
func Count(ctx context.Context, f io.ReaderAt, from int64, delim byte) (int64, error) {
	var n int64
	buf := make([]byte, countSize)
	last := delim
	for {
		if err := context.Cause(ctx); err != nil {
			return 0, err
		}
		size, err := f.ReadAt(buf, from)
		if size > 0 {
			n += int64(bytes.Count(buf[:size], []byte{delim}))
			last = buf[size-1]
			from += int64(size)
		}
		if errors.Is(err, io.EOF) {
			if last != delim {
				n++
			}
			return n, nil
		}
		if err != nil {
			return 0, err
		}
	}
}
