// Package config reads throttle.toml: limits by name, what accounts have instead, and defaults; and it changes one entry of
// it. It knows no flags and no rates: a value is a text, as the flag of the same name takes it, and whether it is right say
// functions that are passed in.
package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// FileName is what a file is called that is found without being named.
const FileName = "throttle.toml"

// Options say where the files are, and what may be in them.
type Options struct {
	File   string              // the one and only file; "" for those of Paths
	Getenv func(string) string // os.Getenv
	Checks Checks
}

// Checks say what is wrong with a text, by an error that quotes it and says what is accepted. One that is nil accepts all.
type Checks struct {
	Rate      func(text string) error // 20/s, and 100/h,algorithm=token-bucket,burst=5 where it is made of a table
	Every     func(text string) error // 100ms
	Algorithm func(text string) error
	Preset    func(text string) error
	Store     func(text string) error
	// RateOptions are what a table of a rate may have besides rate, algorithm and burst: texts.
	RateOptions []string
}

// A Config is what the files say. It does not change, and may be used by several goroutines.
type Config struct {
	files    []*file // the nearest first
	checks   Checks
	warnings []string
}

// A file is one that was read.
type file struct {
	name     string
	stored   bool // it is none, but what a store keeps
	defaults settings
	limits   []*limit // in the order of the file
}

type limit struct {
	name     string
	line     int // where it starts
	column   int
	own      settings
	accounts []*account // in the order of the file
}

type account struct {
	name string
	line int
	own  settings
}

// settings are the fields that a table has.
type settings map[string]setting

// A setting is a field with its value, as texts, and where that stands.
type setting struct {
	texts        []string
	line, column int
	env          string // of a flag: the variable that it is from
}

// Paths returns the files that are read if none is named, the nearest first: ./throttle.toml, then throttle/throttle.toml in
// $XDG_CONFIG_HOME, else in ~/.config (%AppData% on Windows). They need not be there.
func Paths(getenv func(string) string) []string {
	paths := []string{FileName}
	dir := getenv("XDG_CONFIG_HOME")
	home, appData := getenv("HOME"), getenv("APPDATA")
	switch {
	case filepath.IsAbs(dir): // one that is not is to be ignored, the specification says
	case home != "":
		dir = filepath.Join(home, ".config")
	case runtime.GOOS == "windows" && appData != "":
		dir = appData
	default:
		return paths
	}
	return append(paths, filepath.Join(dir, "throttle", FileName))
}

// Load reads the files. Those of Paths need not be there, the one that is named must be. What is wrong in any of them is in the
// error, which is an Errors.
func Load(o Options) (*Config, error) {
	paths := []string{o.File}
	if o.File == "" {
		paths = Paths(o.Getenv)
	}
	c := &Config{checks: o.Checks}
	var wrong Errors
	var seen []fs.FileInfo
	for _, path := range paths {
		data, info, err := read(path, o.File != "")
		switch {
		case errors.Is(err, fs.ErrNotExist) && o.File == "":
			continue
		case err != nil:
			return nil, err
		case slices.ContainsFunc(seen, func(other fs.FileInfo) bool { return os.SameFile(info, other) }):
			continue
		}
		seen = append(seen, info)
		if w := writableByAll(path, info); w != "" {
			c.warnings = append(c.warnings, w)
		}
		f, problems := decode(path, data, o.Checks)
		wrong = append(wrong, problems...)
		c.files = append(c.files, f)
	}
	if len(wrong) > 0 {
		return nil, wrong
	}
	return c, nil
}

// maxFile is how large a file may be: it would be a mistake.
const maxFile = 4 << 20

// read reads a file. One that was named may be a pipe.
func read(path string, named bool) (data []byte, info fs.FileInfo, err error) {
	info, err = os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	if info.IsDir() || !named && !info.Mode().IsRegular() {
		return nil, nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("is not a regular file")}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = f.Close() }()
	data, err = io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return nil, nil, err
	case len(data) > maxFile:
		return nil, nil, &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("is larger than %d MiB", maxFile>>20)}
	}
	return data, info, nil
}

// writableByAll warns of a file that anybody may change. It's no error: it starts no command, and can at most lift a limit.
func writableByAll(path string, info fs.FileInfo) string {
	if runtime.GOOS == "windows" || !info.Mode().IsRegular() || info.Mode().Perm()&0o002 == 0 {
		return ""
	}
	return fmt.Sprintf("%s: everybody may write to it, and so change your limits: chmod o-w %[1]s", path)
}

// Warnings returns what is odd about the files, one text for each.
func (c *Config) Warnings() []string { return c.warnings }

// Files returns the files that were read, the nearest first.
func (c *Config) Files() []string {
	names := make([]string, len(c.files))
	for i, f := range c.files {
		names[i] = f.name
	}
	return names
}

// Limits returns the names of the limits, in order.
func (c *Config) Limits() []string {
	var names []string
	for _, f := range c.files {
		for _, l := range f.limits {
			names = append(names, l.name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Accounts returns the names of the accounts that have their own in a limit, in the order of the file.
func (c *Config) Accounts(name string) []string {
	l, _ := c.limit(name)
	if l == nil {
		return nil
	}
	names := make([]string, len(l.accounts))
	for i, a := range l.accounts {
		names[i] = a.name
	}
	return names
}

// FileOf returns the file that has a limit: the nearest of them. It's "" if there is none.
func (c *Config) FileOf(name string) string {
	if _, f := c.limit(name); f != nil {
		return f.name
	}
	return ""
}

// FileOfDefaults returns the nearest file whose defaults have a field, or any if none is named. It's "" if there is none.
func (c *Config) FileOfDefaults(field string) string {
	for _, f := range c.files {
		if _, ok := f.defaults[field]; ok || field == "" && len(f.defaults) > 0 {
			return f.name
		}
	}
	return ""
}

// limit returns the limit of that name in the nearest file that has one. It stands for the whole: what a farther file has of
// the same name is nowhere in force.
func (c *Config) limit(name string) (*limit, *file) {
	for _, f := range c.files {
		for _, l := range f.limits {
			if l.name == name {
				return l, f
			}
		}
	}
	return nil, nil
}

func (l *limit) account(name string) *account {
	for _, a := range l.accounts {
		if a.name == name {
			return a
		}
	}
	return nil
}

// An Error is what is wrong at a place of a file.
type Error struct {
	File         string
	Line, Column int // from 1 on; the column counts characters
	Text         string
}

func (e *Error) Error() string { return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Text) }

// Errors are what is wrong with the files, in order: one Error for each place.
type Errors []error

// maxErrors is how many of a file are told.
const maxErrors = 20

func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, err := range e {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns each of them.
func (e Errors) Unwrap() []error { return e }
