// Package rowfile appends rows to a file that one process at a time writes, so that the file is whole whenever that
// process is killed: a row is there or it isn't, and at the most the last one is torn. It knows not what a row says.
package rowfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// ErrLocked says that another process, or another File of this one, writes the file.
var ErrLocked = errors.New("another process writes it")

// syncEvery is how often what was written is brought to the disk at the most, and so what a power cut can take.
const syncEvery = time.Second

// A File is open for appending. Its methods may be called by several goroutines at once.
type File struct {
	f     *os.File
	path  string
	fresh bool // whether its name may not be on the disk

	mu     sync.Mutex
	closed bool
	rows   int    // written
	synced int    // of those, how many are on the disk for sure
	behind bool   // whether anything is not
	torn   []byte // the part of a row that was written and could not be cut off yet
	failed error  // why the disk could not take what was written

	dirty chan struct{} // has an element when something was written since the last sync
	stop  chan struct{}
	sync  sync.WaitGroup
}

// A WriteError says that a row could not be written. The rows before it are whole.
type WriteError struct {
	Path string
	Rows int // how many rows this process has written that are safe
	Err  error
}

func (e *WriteError) Error() string {
	err := e.Err
	var path *fs.PathError
	if errors.As(err, &path) { // it says the name again
		err = path.Err
	}
	return fmt.Sprintf("can't write %s: %v; the %d rows of this run before that are safe", e.Path, err, e.Rows)
}

// Unwrap returns why.
func (e *WriteError) Unwrap() error { return e.Err }

// Open opens a file, or makes it, and locks it until Close or the end of the process. Errors are *fs.PathError, of
// ErrLocked when it is in use.
func Open(path string, perm fs.FileMode) (*File, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() { // to open it may have an effect
		return nil, &fs.PathError{Op: "open", Path: path, Err: errors.New("not a regular file")}
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|appendFlag, perm)
	if err != nil {
		return nil, err
	}
	if err := lock(file); err != nil {
		_ = file.Close() // nothing was written
		return nil, &fs.PathError{Op: "lock", Path: path, Err: err}
	}
	f := &File{f: file, path: path, dirty: make(chan struct{}, 1), stop: make(chan struct{})}
	if size, err := f.Size(); err == nil && size == 0 {
		f.fresh = true
	}
	f.sync.Go(f.keepSynced)
	return f, nil
}

// Size returns how many bytes the file has.
func (f *File) Size() (int64, error) {
	info, err := f.f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// ReadAt reads from the file, as io.ReaderAt has it.
func (f *File) ReadAt(p []byte, off int64) (int, error) { return f.f.ReadAt(p, off) }

// Cut makes the file end at size.
func (f *File) Cut(size int64) error { return f.f.Truncate(size) }

// Append writes a row, which ends with a newline, in one piece. It returns a *WriteError if it could not; a part of
// the row that was written is cut off again.
func (f *File) Append(row []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closed:
		return &WriteError{f.path, f.rows, fs.ErrClosed}
	case f.failed != nil:
		return &WriteError{f.path, f.synced, f.failed}
	}
	if err := f.cutTorn(); err != nil {
		return &WriteError{f.path, f.rows, err}
	}
	if seekToAppend {
		if _, err := f.f.Seek(0, io.SeekEnd); err != nil {
			return &WriteError{f.path, f.rows, err}
		}
	}
	n, err := f.f.Write(row)
	if err != nil {
		f.torn = bytes.Clone(row[:n])
		_ = f.cutTorn() // tried again before the next row
		return &WriteError{f.path, f.rows, err}
	}
	f.rows++
	f.behind = true
	select {
	case f.dirty <- struct{}{}:
	default:
	}
	return nil
}

// AppendHeader is Append for what is no row: it does not count.
func (f *File) AppendHeader(row []byte) error {
	err := f.Append(row)
	if err == nil {
		f.mu.Lock()
		f.rows--
		f.mu.Unlock()
	}
	return err
}

// cutTorn cuts off the part of a row that was written, if it is the last of the file.
func (f *File) cutTorn() error {
	if len(f.torn) == 0 {
		return nil
	}
	size, err := f.Size()
	if err != nil {
		return err
	}
	last := make([]byte, len(f.torn))
	if _, err := f.f.ReadAt(last, size-int64(len(last))); err != nil {
		return err
	}
	if !bytes.Equal(last, f.torn) {
		return errors.New("a row was torn, and another process has written behind it")
	}
	if err := f.f.Truncate(size - int64(len(last))); err != nil {
		return err
	}
	f.torn = nil
	return nil
}

// keepSynced brings what was written to the disk, without keeping those waiting who write.
func (f *File) keepSynced() {
	for {
		select {
		case <-f.stop:
			return
		case <-f.dirty:
		}
		f.flush()
		select {
		case <-f.stop:
			return
		case <-time.After(syncEvery):
		}
	}
}

func (f *File) flush() {
	f.mu.Lock()
	rows := f.rows
	f.behind = false
	f.mu.Unlock()
	if f.fresh {
		f.fresh = false
		if dir, err := os.Open(filepath.Dir(f.path)); err == nil { // not every system can
			_ = dir.Sync()
			_ = dir.Close()
		}
	}
	err := syncData(f.f)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		f.failed = err // and what the disk has is not known: to try again may seem to work
		return
	}
	f.synced = rows
}

// Close brings all to the disk and gives the lock back. It returns a *WriteError if that failed, now or before. It may
// be called again.
func (f *File) Close() error {
	f.mu.Lock()
	closed := f.closed
	f.closed = true
	f.mu.Unlock()
	if closed {
		return nil
	}
	close(f.stop)
	f.sync.Wait()
	if f.failed == nil && f.behind {
		f.flush()
	}
	err := f.f.Close()
	if f.failed != nil {
		err = f.failed
	}
	if err != nil {
		return &WriteError{f.path, f.synced, err}
	}
	return nil
}
