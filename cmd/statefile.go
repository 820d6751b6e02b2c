package cmd

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/throttle-cli/throttle/internal/store"
	"github.com/throttle-cli/throttle/lockfile"
	"github.com/throttle-cli/throttle/pacer"
)

// A folder is the store of the processes of one host: a state file for each key.
type folder string

func (d folder) String() string { return string(d) }

// Open is that of store.Store.
func (d folder) Open(_ context.Context, key string, o store.Options) (store.Key, error) {
	return openFile(lockfile.PathOf(string(d), key), key, fileOptions(o))
}

// Status is that of store.Store.
func (d folder) Status(_ context.Context, key string) (store.State, error) {
	s, err := stateOf(lockfile.PathOf(string(d), key))
	s.Key = key
	return s, err
}

// All is that of store.Store. A file that can't be read is there with an error.
func (d folder) All(context.Context) ([]store.State, error) {
	paths, err := lockfile.List(string(d))
	if err != nil {
		return nil, err
	}
	var all []store.State
	for _, path := range paths {
		s, err := stateOf(path)
		if errors.Is(err, store.ErrNoState) {
			continue // it was removed meanwhile
		}
		s.Err = err
		all = append(all, s)
	}
	slices.SortStableFunc(all, func(a, b store.State) int { return strings.Compare(a.Key, b.Key) })
	return all, nil
}

// Close is that of store.Store.
func (folder) Close() error { return nil }

// A stateFile is a store of one key, which several users may share.
type stateFile string

func (f stateFile) String() string { return string(f) }

// Open is that of store.Store. The key has no name.
func (f stateFile) Open(_ context.Context, _ string, o store.Options) (store.Key, error) {
	path, err := filepath.Abs(string(f))
	if err != nil {
		return nil, err
	}
	opts := fileOptions(o)
	opts.Shared = true
	return openFile(path, "", opts)
}

// Status is that of store.Store.
func (f stateFile) Status(context.Context, string) (store.State, error) { return stateOf(string(f)) }

// All is that of store.Store.
func (f stateFile) All(ctx context.Context) ([]store.State, error) {
	s, err := f.Status(ctx, "")
	return []store.State{s}, err
}

// Close is that of store.Store.
func (stateFile) Close() error { return nil }

func fileOptions(o store.Options) lockfile.Options {
	if o.Adopt {
		o.As = func(stored pacer.Limits) pacer.Limits { return stored }
	}
	return lockfile.Options{
		Limits: o.Limits, As: o.As, Queue: o.Queue, Bytes: o.Bytes, Debt: o.Debt, Warn: o.Warn, MustExist: o.Limits == nil && !o.Create,
	}
}

func openFile(path, key string, o lockfile.Options) (store.Key, error) {
	f, err := lockfile.Open(path, key, o)
	if o.MustExist && errors.Is(err, fs.ErrNotExist) {
		return nil, store.ErrNoState
	}
	if err != nil {
		return nil, err
	}
	return store.Of(fileKey{f}), nil
}

// stateOf reads a state file.
func stateOf(path string) (store.State, error) {
	s, err := lockfile.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return store.State{}, &noFileError{err}
	}
	return store.State{Status: s.Status, Path: cmp.Or(s.Path, path)}, err
}

// A noFileError is a store.ErrNoState.
type noFileError struct{ error }

func (e *noFileError) Unwrap() []error { return []error{e.error, store.ErrNoState} }

// A fileKey is the key of a state file.
type fileKey struct{ *lockfile.File }

// Status is that of store.Key.
func (f fileKey) Status(context.Context) (pacer.Status, error) {
	s, err := f.File.Status()
	return s.Status, err
}
