package config

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// errLocked says that another process changes the file.
var errLocked = errors.New("is being changed by another process")

// lockWait is how long another process may take to change a file, which takes it milliseconds.
const lockWait = 10 * time.Second

// rewrite replaces a file by what is made of it, in one step: whoever reads it meanwhile sees all of the old one or all of the new
// one. Two of them at once come one after the other. A symbolic link stays one.
func rewrite(ctx context.Context, path string, create bool, change func([]byte) ([]byte, error)) error {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	} else if _, dangling := os.Lstat(path); dangling == nil || !errors.Is(err, fs.ErrNotExist) || !create {
		return err
	}
	unlock, err := lock(ctx, path+".lock", create)
	if err != nil {
		return &fs.PathError{Op: "change", Path: path, Err: err}
	}
	defer unlock()
	data, info, err := read(path, false)
	if err != nil && (!create || !errors.Is(err, fs.ErrNotExist)) {
		return err
	}
	text, err := change(data)
	if err != nil || info != nil && bytes.Equal(text, data) {
		return err
	}
	return replace(path, text, info)
}

func lock(ctx context.Context, path string, create bool) (unlock func(), err error) {
	if create {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		unlock, err := tryLock(path)
		if !errors.Is(err, errLocked) {
			return unlock, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", err, ctx.Err())
		case <-again.C:
		}
	}
}

// replace writes a file beside the one there is, which info is of, and puts it in its place. The lock is held.
func replace(path string, text []byte, info fs.FileInfo) (err error) {
	beside := path + ".new"
	if err := os.Remove(beside); err != nil && !errors.Is(err, fs.ErrNotExist) { // of one that was killed
		return err
	}
	f, err := os.OpenFile(beside, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(beside)
		}
	}()
	if info != nil {
		keepOwner(f, info)
		if err := f.Chmod(info.Mode().Perm()); err != nil {
			return err
		}
	}
	if _, err := f.Write(text); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(beside, path); err != nil {
		return err
	}
	if dir, err := os.Open(filepath.Dir(path)); err == nil {
		_ = dir.Sync() // not all file systems can
		_ = dir.Close()
	}
	return nil
}
