//go:build !linux && !darwin

package lockfile

import "io/fs"

type handle int

const noHandle handle = -1

type fileInfo struct {
	links   uint64
	id      fileID
	regular bool
	owner   uint32
	perm    fs.FileMode
}

type fileID struct{}

func openFile(string, bool) (handle, error)       { return noHandle, ErrUnsupported }
func newFile(string, fs.FileMode) (handle, error) { return noHandle, ErrUnsupported }
func newClock() (clock, error)                    { return clock{}, ErrUnsupported }
func statPath(string) (fileInfo, error)           { return fileInfo{}, ErrUnsupported }
func link(string, string) error                   { return ErrUnsupported }
func newOwners(_ handle, path string, _ bool) owners {
	return newFileOwners(path)
}
func newWaker(handle, bool) (waker, error)       { return nil, ErrUnsupported }
func me() uint32                                 { return 0 }
func (handle) close() error                      { return ErrUnsupported }
func (handle) stat() (fileInfo, error)           { return fileInfo{}, ErrUnsupported }
func (handle) lock() error                       { return ErrUnsupported }
func (handle) tryLock() (bool, error)            { return false, ErrUnsupported }
func (handle) tryRLock() (bool, error)           { return false, ErrUnsupported }
func (handle) unlock() error                     { return ErrUnsupported }
func (handle) readAt([]byte, int64) (int, error) { return 0, ErrUnsupported }
func (handle) writeAt([]byte, int64) error       { return ErrUnsupported }
func (handle) remote() string                    { return "" }
