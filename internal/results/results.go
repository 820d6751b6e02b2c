// Package results keeps the output of each job in files of its own, laid out as GNU parallel's --results has them. No
// value leads out of their directory.
package results

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/throttle-cli/throttle/internal/template"
)

// Results is a directory of results. Its methods may be called by several goroutines at once.
type Results struct {
	dir     string
	root    *os.Root
	pattern *template.Template // of what is below the root; nil is the layout of columns
	files   bool               // whether the pattern names a file, and not a directory

	mu sync.Mutex // held while the files of a job are made, so that those of two jobs are not mixed
}

// Open makes the directory. It has a directory for each job, as in DIR/1/VALUE or, where there are columns,
// DIR/1/VALUE/2/VALUE, with the files seq, stdout and stderr. If dir has replacement strings it names the directory of
// a job, if it ends with a slash, or the file for stdout, and the others are beside it: dir.seq and dir.err. lineString
// is as for template.Parse.
func Open(dir, lineString string) (*Results, error) {
	fail := func(err error) (*Results, error) {
		return nil, fmt.Errorf("can't keep results in %q: %w", dir, err)
	}
	base := strings.TrimRight(dir, "/")
	r := &Results{}
	if found, ok := template.Used(dir, lineString); ok {
		base = dir[:strings.LastIndexByte(dir[:strings.Index(dir, found)], '/')+1]
		for part := range strings.SplitSeq(dir[len(base):], "/") {
			if part == ".." {
				return fail(errors.New(`".." behind a replacement string may be anywhere`))
			}
		}
		r.pattern = template.Parse([]string{dir[len(base):]}, lineString)
		r.files = !strings.HasSuffix(dir, "/")
	} else if dir != "" && base == "" {
		base = "/"
	}
	switch ext := strings.ToLower(path.Ext(dir)); {
	case dir == "":
		return fail(errors.New("it has no name"))
	case ext == ".csv" || ext == ".tsv" || ext == ".json":
		return fail(fmt.Errorf("a table in one %s file is not supported: name a directory", ext))
	case runtime.GOOS == "windows":
		return fail(fmt.Errorf("%w on Windows, where names can't have all that values have", errors.ErrUnsupported))
	}
	r.dir = filepath.Clean(base)
	if err := os.MkdirAll(r.dir, 0o777); err != nil {
		return fail(cause(err))
	}
	root, err := os.OpenRoot(r.dir)
	if err != nil {
		return fail(cause(err))
	}
	r.root = root
	if err := r.try(); err != nil {
		_ = root.Close() // the other error matters
		return fail(cause(err))
	}
	return r, nil
}

// cause is what a *fs.PathError says, for a message that names the directory already.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// try makes a file and removes it, to see whether that's possible.
func (r *Results) try() error {
	name := ".throttle-" + strconv.Itoa(os.Getpid())
	f, err := r.root.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), r.root.Remove(name))
}

// Check returns an error if the name of the directory asks for a column that n columns do not have.
func (r *Results) Check(n int) error {
	if r.pattern == nil {
		return nil
	}
	return r.pattern.Check(n)
}

// Job makes the files of a job. Those of a former one with the same values are removed: if that one still runs, what it
// writes is lost, and nothing of it comes into the new ones.
func (r *Results) Job(v template.Values) (*Files, error) {
	dir, names := r.place(v)
	return r.create(dir, names, v.Seq)
}

// place returns where the files of a job are: their directory, below the root, and the names for seq, stdout and stderr.
func (r *Results) place(v template.Values) (dir string, names [3]string) {
	names = [3]string{"seq", "stdout", "stderr"}
	if r.pattern == nil {
		var parts []string
		for i, value := range v.Args {
			column := 1 // several lines have a column each
			if v.Line != nil {
				column = i + 1
			}
			parts = append(parts, strconv.Itoa(column), shorten(escape(value), maxName))
		}
		return path.Join(parts...), names
	}
	var parts []string
	for part := range strings.SplitSeq(strings.Join(r.pattern.Expand(v), " "), "/") {
		if part != "" {
			parts = append(parts, defuse(strings.ReplaceAll(part, "\x00", `\0`)))
		}
	}
	if len(parts) == 0 {
		parts = []string{defuse("")}
	}
	last := len(parts) - 1
	for i := range parts[:last] {
		parts[i] = shorten(parts[i], maxName)
	}
	if !r.files {
		parts[last] = shorten(parts[last], maxName)
		return path.Join(parts...), names
	}
	name := shorten(parts[last], maxName-len(".seq"))
	return path.Join(parts[:last]...), [3]string{name + ".seq", name, name + ".err"}
}

// maxName is how long a name may be, in bytes, on most file systems.
const maxName = 255

// escape returns a value as parallel makes a name of it.
func escape(value string) string {
	return defuse(strings.NewReplacer(`\`, `\\`, "\t", `\t`, "\x00", `\0`, "/", `\_`).Replace(value))
}

// defuse makes a name of what would lead somewhere else: "", "." and "..". Parallel lets them, and writes over what
// others have there.
func defuse(name string) string {
	switch name {
	case "":
		return `\e`
	case ".", "..":
		return `\` + name
	}
	return name
}

// shorten returns a name of at most that many bytes. One that is longer ends with its hash. No other name that escape
// makes does, as no escape looks like it.
func shorten(name string, most int) string {
	if len(name) <= most {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	end := `\#` + hex.EncodeToString(sum[:16])
	kept := most - len(end)
	for i := kept; i > kept-utf8.UTFMax; i-- { // not in the middle of a character
		if utf8.RuneStart(name[i]) {
			kept = i
			break
		}
	}
	if before := name[:kept]; (len(before)-len(strings.TrimRight(before, `\`)))%2 == 1 { // nor of an escape
		kept--
	}
	return name[:kept] + end
}

func (r *Results) create(dir string, names [3]string, seq int) (*Files, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := r.root
	if dir != "" {
		if err := r.root.MkdirAll(dir, 0o777); err != nil {
			return nil, in(r.dir, err)
		}
		sub, err := r.root.OpenRoot(dir)
		if err != nil {
			return nil, in(r.dir, err)
		}
		defer sub.Close() //nolint:errcheck // nothing is written to it
		at = sub
	}
	var files [3]*os.File
	for i, name := range names {
		f, err := anew(at, name)
		if err == nil && i == 0 {
			_, err = f.WriteString(strconv.Itoa(seq))
		}
		if err != nil {
			for _, f := range files[:i] {
				_ = f.Close() // the other error matters
			}
			return nil, in(filepath.Join(r.dir, dir), err)
		}
		files[i] = f
	}
	if err := files[0].Close(); err != nil {
		_, _ = files[1].Close(), files[2].Close()
		return nil, err
	}
	return &Files{Stdout: files[1], Stderr: files[2]}, nil
}

// in gives the path in an error the name of the directory that it's in.
func in(dir string, err error) error {
	var p *fs.PathError
	if !errors.As(err, &p) || filepath.IsAbs(p.Path) {
		return err
	}
	return &fs.PathError{Op: strings.TrimSuffix(p.Op, "at"), Path: filepath.Join(dir, p.Path), Err: p.Err}
}

// anew makes a file, in place of one that is there.
func anew(at *os.Root, name string) (*os.File, error) {
	if err := at.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return at.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
}

// Close ends the use of the directory. The files of jobs stay open.
func (r *Results) Close() error { return r.root.Close() }

// Files are those of a job. Each is for one goroutine at a time.
type Files struct {
	Stdout, Stderr *os.File
}

// Close closes them. It returns the first error.
func (f *Files) Close() error {
	err := f.Stdout.Close()
	if e := f.Stderr.Close(); err == nil {
		err = e
	}
	return err
}
