package lockfile

import (
	"errors"
	"fmt"

	"github.com/throttle-cli/throttle/pacer"
)

// What may be wrong with a file, or a call. Those of a file come inside a *fs.PathError that names it.
var (
	// ErrForeign says that the file is not a state file, or that of another key. It is left alone.
	ErrForeign = errors.New("not the state file of this key")
	// ErrVersion says that a newer version of throttle has written the file, or an older one that has kept it otherwise. It is
	// left alone.
	ErrVersion = errors.New("state file of a newer version")
	// ErrUnsafe says that others could write the file, or have put it there.
	ErrUnsafe = errors.New("not safe to use")
	// ErrNoLimit says that no limit was given and the file has none.
	ErrNoLimit = pacer.ErrNoLimit
	// ErrUnit says that the limit given counts bytes and the one stored something else, or the other way round.
	ErrUnit = pacer.ErrUnit
	// ErrFull is what a *pacer.FullError is: as many wait as may, or as there is room for.
	ErrFull = pacer.ErrFull
	// ErrClosed says that the File was closed, or the reservation cancelled.
	ErrClosed = errors.New("state file is closed")
	// ErrUnsupported says that this system has no way to share a state file. It is an errors.ErrUnsupported.
	ErrUnsupported = fmt.Errorf("sharing a limit between processes is not supported on this system: %w", errors.ErrUnsupported)
)

// A LateError is a pacer.LateError: a slot would have come later than one was ready to wait for it.
type LateError = pacer.LateError

// A ConflictError is a pacer.ConflictError, a warning: the limits given are not those stored.
type ConflictError = pacer.ConflictError

// A DamageError is a warning: a part of the file could not be read. What it held is made up for by an empty bucket, so
// that the limit is not exceeded.
type DamageError struct {
	Path string
	What string // what is wrong, and what was done: "its queue is damaged: those who wait ask again"
}

func (e *DamageError) Error() string { return fmt.Sprintf("state file %q: %s", e.Path, e.What) }

// A RemoteError is a warning: the file is on a file system that other hosts may share.
type RemoteError struct {
	Path       string
	FileSystem string // "nfs"
}

func (e *RemoteError) Error() string {
	return fmt.Sprintf("state file %q is on %s: the rate holds between the processes of one host if locks work there, and not in order between hosts",
		e.Path, e.FileSystem)
}
