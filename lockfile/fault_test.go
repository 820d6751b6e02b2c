//go:build linux || darwin

package lockfile

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

// A host is one whose clocks a test sets.
type host struct {
	boot byte
	now  time.Duration // since boot
	wall time.Time
	mu   sync.Mutex // one that can't leave tries again, in a goroutine
}

func newHost() *host {
	return &host{boot: 1, now: 1000 * time.Hour, wall: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
}

func (h *host) pass(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now, h.wall = h.now+d, h.wall.Add(d)
}

// clock reads both clocks.
func (h *host) clock() (now time.Duration, wall time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now, h.wall
}

func (h *host) hooks() hooks {
	return hooks{
		clock: clock{boot: [16]byte{h.boot}, now: func() int64 { now, _ := h.clock(); return int64(now) }},
		wall:  func() time.Time { _, wall := h.clock(); return wall },
	}
}

// A user opens a file, and has its warnings.
type user struct {
	*File
	t     *testing.T
	warns []error
}

func (h *host) open(t *testing.T, path string, o Options) *user {
	t.Helper()
	u := &user{t: t}
	o.hooks = h.hooks()
	o.Warn = func(err error) { u.warns = append(u.warns, err) }
	f, err := Open(path, "key", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	u.File = f
	return u
}

// grants checks that a unit is granted now.
func (u *user) grants() {
	u.t.Helper()
	if granted, wait, err := u.Try(context.Background(), 1); !granted || err != nil {
		u.t.Errorf("not granted for %v, %v", wait, err)
	}
}

// refuses checks that the next unit is due in d, and that saying so writes nothing.
func (u *user) refuses(d time.Duration) {
	u.t.Helper()
	var before []byte
	for range 2 { // the first one may find something wrong, and put it right
		before, _ = os.ReadFile(u.path)
		if granted, wait, err := u.Try(context.Background(), 1); granted || wait != d || err != nil {
			u.t.Errorf("granted %v, wait %v, %v; want %v", granted, wait, err, d)
		}
	}
	if !bytes.Equal(u.bytes(), before) {
		u.t.Error("a refusal has written")
	}
}

func (u *user) bytes() []byte {
	u.t.Helper()
	b, err := os.ReadFile(u.path)
	if err != nil {
		u.t.Fatal(err)
	}
	return b
}

func (u *user) reserve() *Reservation {
	u.t.Helper()
	r, err := u.Reserve(context.Background(), 1)
	if err != nil {
		u.t.Fatal(err)
	}
	return r
}

// warned checks that the warnings since the last call are damage with those words.
func (u *user) warned(words ...string) {
	u.t.Helper()
	for i, w := range u.warns {
		var damage *DamageError
		if !errors.As(w, &damage) || i >= len(words) || !strings.Contains(damage.What, words[i]) {
			u.t.Errorf("unexpected warning %q", w)
		}
	}
	if len(u.warns) < len(words) {
		u.t.Errorf("%d warnings, want %q", len(u.warns), words)
	}
	u.warns = nil
}

const minute = time.Minute

func perMinute() Options { return Options{Limit: pacer.Every(minute)} }

func statePath(t *testing.T) string { return filepath.Join(t.TempDir(), "dir", "f.state") }

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestModesOfWhatIsCreated(t *testing.T) {
	path := statePath(t)
	newHost().open(t, path, perMinute())
	for p, want := range map[string]fs.FileMode{path: 0o600, filepath.Dir(path): 0o700 | fs.ModeDir} {
		if info, err := os.Stat(p); err != nil || info.Mode() != want {
			t.Errorf("%v, %v; want %v", info.Mode(), err, want)
		}
	}
	if rest, _ := filepath.Glob(path + "?*"); len(rest) > 0 {
		t.Errorf("left behind: %q", rest)
	}
}

func TestAForeignFileIsLeftAlone(t *testing.T) {
	newer := newPage("key", new(newState([16]byte{1})), 1, 0)
	newer[versionAt]++
	newer[headSumAt]++ // its checksum may be computed otherwise
	older := newPage("key", new(newState([16]byte{1})), 1, 0)
	older[versionAt]--
	binary.LittleEndian.PutUint32(older[headSumAt:], headerSum(older))
	for name, c := range map[string]struct {
		contents []byte
		want     error
	}{
		"text":          {[]byte("precious\n"), ErrForeign},
		"short":         {[]byte("thr"), ErrForeign},
		"magic only":    {[]byte("throttle"), ErrForeign},
		"a longer word": {[]byte("throttled since 2019, see the log\n"), ErrVersion},
		"zeros":         {make([]byte, 8192), ErrForeign},
		"large":         {bytes.Repeat([]byte("0123456789abcdef"), 1<<16), ErrForeign},
		"newer version": {newer, ErrVersion},
		"older version": {older, ErrVersion},
		"another key":   {newPage("other", new(newState([16]byte{1})), 1, 0), ErrForeign},
	} {
		path := statePath(t)
		write(t, path, c.contents)
		_, err := Open(path, "key", perMinute())
		var pe *fs.PathError
		if !errors.Is(err, c.want) || !errors.As(err, &pe) || pe.Path != path {
			t.Errorf("%s: %v, want %v with its path", name, err, c.want)
		}
		if _, err := Read(path); name != "another key" && !errors.Is(err, c.want) {
			t.Errorf("%s: Read says %v", name, err)
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, c.contents) {
			t.Errorf("%s: the file was changed", name)
		}
	}
}

func TestAFileThatBecomesForeignWhileInUse(t *testing.T) {
	h := newHost()
	u := h.open(t, statePath(t), perMinute())
	u.grants()
	text := bytes.Repeat([]byte("precious\n"), 1000)
	if err := u.h.writeAt(text, 0); err != nil {
		t.Fatal(err)
	}
	var pe *fs.PathError
	if err := u.Wait(t.Context()); !errors.Is(err, ErrForeign) || !errors.As(err, &pe) {
		t.Errorf("%v", err)
	}
	if !bytes.HasPrefix(u.bytes(), text) {
		t.Error("the file was changed")
	}
}

func TestAnEmptyFileStartsFromAnEmptyBucket(t *testing.T) {
	for _, contents := range [][]byte{{}, make([]byte, 4096), make([]byte, 100)} {
		h := newHost()
		path := statePath(t)
		write(t, path, contents)
		u := h.open(t, path, Options{Limit: pacer.Every(minute).WithBurst(3)})
		u.refuses(minute)
		u.warned("empty")
		r := u.reserve()
		h.pass(minute)
		if err := r.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		u.refuses(minute)
		u.warned()
	}
}

func TestDamageIsMadeUpForByAnEmptyBucket(t *testing.T) {
	flip := func(at int64) func(b []byte) { return func(b []byte) { b[at] ^= 0x10 } }
	for name, c := range map[string]struct {
		damage func(b []byte)
		warn   []string
		wait   time.Duration
		queue  int // who still waits
	}{
		"both records":           {func(b []byte) { b[recordAt(0)+9]++; b[recordAt(1)+9]++ }, []string{"both"}, minute, 0},
		"the record in force":    {flip(recordAt(0) + 100), []string{"a record"}, minute, 0},
		"the record before that": {flip(recordAt(1) + 100), []string{"a record"}, 2 * minute, 1},
		"the header":             {flip(keyAt), []string{"head"}, 90 * time.Second, 1},
		"the queue":              {func(b []byte) { b[ringAt(0)]++; b[min(int(ringAt(1)), len(b)-1)]++ }, []string{"queue"}, 30 * time.Second, 0},
		"the wake word":          {flip(wakeAt), nil, 90 * time.Second, 1},
	} {
		h := newHost()
		path := statePath(t)
		u := h.open(t, path, Options{Limit: pacer.Every(minute).WithBurst(2)})
		u.grants()
		u.grants()
		r := u.reserve()
		h.pass(30 * time.Second)
		b := u.bytes()
		c.damage(b)
		if err := u.h.writeAt(b, 0); err != nil {
			t.Fatal(err)
		}
		v := h.open(t, path, Options{Limit: pacer.Every(minute).WithBurst(2)})
		if s, err := v.Status(); err != nil || (s.Damage == "") != (c.warn == nil) {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
		v.refuses(c.wait)
		v.warned(c.warn...)
		if s, err := v.Status(); err != nil || len(s.Waiting) != c.queue || s.Damage != "" {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
		// The one who waits gets its grant, not before its slot, and the file is whole again.
		slot := r.Slot()
		if slot.Sub(h.wall) < 30*time.Second {
			t.Errorf("%s: its slot was in 30s, and is in %v", name, slot.Sub(h.wall))
		}
		h.pass(slot.Sub(h.wall))
		if err := r.Wait(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		v.warns = nil
		v.refuses(minute)
		v.warned()
		if s, err := v.Status(); err != nil || s.Damage != "" || s.Key != "key" {
			t.Errorf("%s: afterwards %+v, %v", name, s, err)
		}
	}
}

// A file that is cut at any length never grants early, nor is taken for another's once it has our name.
func TestTruncatedAtAnyLength(t *testing.T) {
	h := newHost()
	u := h.open(t, statePath(t), perMinute())
	u.grants()
	for range 4 {
		u.reserve()
	}
	whole := u.bytes()
	lengths := []int{0, 1, 7, 8, 11, 12, 13, 100, 2048, 2100, 2304, 3072, 3200, 3328, 4095, 4096, 4097, 4150, len(whole) - 1}
	for _, n := range lengths {
		path := statePath(t)
		write(t, path, whole[:n])
		g, err := Open(path, "key", Options{Limit: pacer.Every(minute), hooks: h.hooks()})
		if 0 < n && n < 12 {
			if !errors.Is(err, ErrForeign) {
				t.Errorf("cut to %d bytes: %v", n, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
		if granted, wait, err := g.Try(t.Context(), 1); granted || wait < minute || err != nil {
			t.Errorf("cut to %d bytes: granted %v, wait %v, %v", n, granted, wait, err)
		}
		if _, err := g.Reserve(t.Context(), 1); err != nil {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
		_ = g.Close()
	}
}

// A writer that dies after any part of its writes leaves the state before it, or one that grants later.
func TestKilledWhileWriting(t *testing.T) {
	h := newHost()
	u := h.open(t, statePath(t), perMinute())
	u.grants()
	u.reserve()
	before := u.bytes()
	u.reserve()
	after := u.bytes()
	var changed []int // the bytes that were written, in the order of the writes: the queue, then the record
	for _, part := range [][2]int{{pageSize, len(after)}, {int(recordAt(0)), pageSize}} {
		for i := part[0]; i < part[1]; i++ {
			if i >= len(before) || before[i] != after[i] {
				changed = append(changed, i)
			}
		}
	}
	torn := slices.Clone(after)
	clear(torn[copy(torn, before):])
	for k := 0; k <= len(changed); k++ {
		path := statePath(t)
		write(t, path, torn)
		v := h.open(t, path, perMinute())
		s, err := v.Status()
		if err != nil {
			t.Fatal(err)
		}
		granted, wait, err := v.Try(t.Context(), 1)
		switch {
		case granted || err != nil || wait < minute:
			t.Fatalf("after %d of %d bytes: granted %v, wait %v, %v", k, len(changed), granted, wait, err)
		case k == len(changed) && s.Damage != "":
			t.Fatalf("written whole, and damaged: %v", s.Damage)
		}
		if k < len(changed) {
			torn[changed[k]] = after[changed[k]]
		}
		_ = v.Close()
	}
}

func TestUnsafeFilesAreRefused(t *testing.T) {
	path := statePath(t)
	target := filepath.Join(t.TempDir(), "target")
	for name, plant := range map[string]func() error{
		"a link":          func() error { write(t, target, []byte("precious")); return os.Symlink(target, path) },
		"a dangling link": func() error { return os.Symlink(target+"-not", path) },
		"a directory":     func() error { return os.Mkdir(path, 0o700) },
		"for all to write": func() error {
			write(t, path, nil)
			return os.Chmod(path, 0o602)
		},
		"for the group to write": func() error {
			write(t, path, nil)
			return os.Chmod(path, 0o620)
		},
		"somebody else's": func() error {
			if os.Geteuid() != 0 {
				return errors.ErrUnsupported
			}
			write(t, path, nil)
			return os.Chown(path, 12345, -1)
		},
		"in a directory for all to write": func() error {
			write(t, path, nil)
			return os.Chmod(filepath.Dir(path), 0o777)
		},
	} {
		_ = os.RemoveAll(path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := plant(); errors.Is(err, errors.ErrUnsupported) {
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		f, err := Open(path, "key", perMinute())
		if name == "a directory" {
			if err == nil {
				t.Error("a directory is opened")
			}
			continue
		}
		if !errors.Is(err, ErrUnsafe) {
			t.Errorf("%s: %v", name, err)
		}
		if f != nil {
			_ = f.Close()
		}
	}
	if b, err := os.ReadFile(target); err != nil || string(b) != "precious" {
		t.Errorf("the target of a link was changed: %q, %v", b, err)
	}
	if _, err := os.Stat(target + "-not"); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the target of a dangling link was created")
	}
}

func TestSharedFiles(t *testing.T) {
	path := statePath(t)
	shared := Options{Limit: pacer.Every(minute), Shared: true}
	if _, err := Open(path, "", shared); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a missing directory: %v", err)
	}
	if err := os.Mkdir(filepath.Dir(path), 0o770); err != nil {
		t.Fatal(err)
	}
	for mode, want := range map[fs.FileMode]error{0o660: nil, 0o600: nil, 0o666: ErrUnsafe} {
		_ = os.Remove(path)
		f, err := Open(path, "", shared)
		if err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		f, err = Open(path, "", shared)
		if !errors.Is(err, want) {
			t.Errorf("mode %v: %v", mode, err)
		}
		if f != nil {
			_ = f.Close()
		}
	}
}

func TestMustExist(t *testing.T) {
	path := statePath(t)
	if _, err := Open(path, "key", Options{MustExist: true}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(filepath.Dir(path)); !errors.Is(err, fs.ErrNotExist) {
		t.Error("something was created")
	}
	if _, err := Read(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Read: %v", err)
	}
	if paths, err := List(filepath.Dir(path)); err != nil || paths != nil {
		t.Errorf("List: %q, %v", paths, err)
	}
}

// After a reboot the bucket counts as empty when the host was booted, whatever the wall clock says.
func TestAnotherBoot(t *testing.T) {
	for name, c := range map[string]struct {
		step   time.Duration // of the wall clock while it was off
		uptime time.Duration
		want   time.Duration // until the next unit; 0 is at once
	}{
		"long up":                       {minute, 5 * minute, 0},
		"just up":                       {minute, 20 * time.Second, 40 * time.Second},
		"just up, a day ahead":          {24 * time.Hour, 20 * time.Second, 40 * time.Second},
		"just up, a day back":           {-24 * time.Hour, 20 * time.Second, minute},
		"long up, a day ahead":          {24 * time.Hour, 5 * minute, 0},
		"long up, a day back":           {-24 * time.Hour, 5 * minute, minute},
		"another host, 10 s later":      {10*time.Second - 2*time.Hour, 2 * time.Hour, 50 * time.Second},
		"another host, 5 minutes later": {5*minute - 2*time.Hour, 2 * time.Hour, 0},
	} {
		h := newHost()
		path := statePath(t)
		u := h.open(t, path, Options{Limit: pacer.Every(minute).WithBurst(3)})
		for range 3 {
			u.grants()
		}
		u.reserve()
		_ = u.Close()
		h.boot, h.now, h.wall = 2, c.uptime, h.wall.Add(c.step+c.uptime)
		v := h.open(t, path, perMinute())
		if c.want > 0 {
			v.refuses(c.want)
			h.pass(c.want)
		}
		v.grants()
		if s, err := v.Status(); err != nil || len(s.Waiting) > 0 {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
		if t.Failed() {
			t.Fatal(name)
		}
	}
}

// What is left of a cooldown is told by the wall clock, and is never more than all of it.
func TestACooldownOutlivesABoot(t *testing.T) {
	for name, c := range map[string]struct {
		step time.Duration // of the wall clock while it was off
		want time.Duration // until the next unit
	}{
		"two minutes off": {2 * minute, 6 * minute},
		"an hour off":     {60 * minute, 0},
		"a day back":      {-24 * time.Hour, 10 * minute},
	} {
		h := newHost()
		path := statePath(t)
		u := h.open(t, path, perMinute())
		r := u.reserve()
		if _, err := r.Throttled(t.Context(), pacer.Feedback{After: 10 * minute, Adaptive: true}); err != nil {
			t.Fatal(err)
		}
		h.pass(minute)
		if err := u.SetPaused(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		_ = u.Close()
		h.boot, h.now, h.wall = 2, 0, h.wall.Add(c.step)
		h.pass(minute) // since boot
		v := h.open(t, path, perMinute())
		v.refuses(-1)
		if err := v.SetPaused(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		if s, err := v.Status(); err != nil || !s.Effective.Equal(pacer.Every(minute)) || s.Throttled != 1 || s.Cooldown.IsZero() != (c.want == 0) {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
		if c.want > 0 {
			v.refuses(c.want)
			h.pass(c.want)
		}
		v.grants()
		if t.Failed() {
			t.Fatal(name)
		}
	}
}

// A cooldown is not ended by removing the file of a key in use.
func TestACooldownOutlivesTheFile(t *testing.T) {
	h := newHost()
	u := h.open(t, statePath(t), perMinute())
	if _, err := u.reserve().Throttled(t.Context(), pacer.Feedback{After: 10 * minute}); err != nil {
		t.Fatal(err)
	}
	h.pass(minute)
	if err := os.Remove(u.path); err != nil {
		t.Fatal(err)
	}
	u.refuses(9 * minute)
}

// Two hosts that share a file void each other's queue, and still neither exceeds the limit nor blocks for ever.
func TestTwoHostsTakeTurnsAtTheRate(t *testing.T) {
	a, b := newHost(), newHost()
	b.boot, b.now = 2, 50*time.Hour
	path := statePath(t)
	users := []*user{a.open(t, path, perMinute()), b.open(t, path, perMinute())}
	var grants []time.Duration
	for at := time.Duration(0); at < 10*minute; at += time.Second {
		for _, u := range users {
			if granted, _, err := u.Try(t.Context(), 1); err != nil {
				t.Fatal(err)
			} else if granted {
				grants = append(grants, at)
			}
		}
		a.pass(time.Second)
		b.pass(time.Second)
	}
	if len(grants) != 10 {
		t.Errorf("%d grants in 10 minutes at one a minute: %v", len(grants), grants)
	}
	for i := 1; i < len(grants); i++ {
		if grants[i]-grants[i-1] < minute {
			t.Errorf("grants at %v and %v", grants[i-1], grants[i])
		}
	}
}

func TestTheWallClockHasNoEffect(t *testing.T) {
	for _, step := range []time.Duration{24 * time.Hour, -24 * time.Hour} {
		h := newHost()
		u := h.open(t, statePath(t), perMinute())
		u.grants()
		r := u.reserve()
		h.wall = h.wall.Add(step)
		u.refuses(2 * minute)
		h.pass(minute)
		if err := r.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		if got := r.Slot(); !got.Equal(h.wall) {
			t.Errorf("its slot is %v from now", got.Sub(h.wall))
		}
	}
}

func TestAStateAheadOfTheClock(t *testing.T) {
	h := newHost()
	u := h.open(t, statePath(t), perMinute())
	u.grants()
	h.now -= 3 * time.Hour
	u.refuses(minute)
	u.warned("ahead of the clock")
}

func TestDiskFull(t *testing.T) {
	dir := smallDisk(t, 16<<10)
	h := newHost()
	u := h.open(t, filepath.Join(dir, "f"), Options{Limit: pacer.Every(minute).WithBurst(2)})
	u.grants()
	ballast := filepath.Join(dir, "ballast")
	fill(t, ballast)
	before := u.bytes()
	if _, err := u.Reserve(t.Context(), 2); !full(err) { // this one must wait: there is no room for a queue
		t.Errorf("on a full disk: %v", err)
	}
	if _, err := Open(filepath.Join(dir, "g"), "key", perMinute()); !full(err) {
		t.Errorf("a new file on a full disk: %v", err)
	}
	if !bytes.Equal(u.bytes(), before) {
		t.Error("the state has changed")
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "*")); len(names) != 2 {
		t.Errorf("left behind: %q", names)
	}
	u.grants() // the page of the records is there
	u.refuses(minute)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	r := u.reserve()
	fill(t, ballast)
	if !r.Cancel() {
		t.Error("one that waits can't leave a full disk")
	}
	u.refuses(minute)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	rs := []*Reservation{u.reserve(), u.reserve()}
	fill(t, ballast)
	h.pass(2 * minute)
	for _, r := range rs { // the second one's grant is kept until it is collected
		if err := r.Wait(t.Context()); err != nil {
			t.Errorf("a grant on a full disk: %v", err)
		}
	}
}

// A grant of a sliding window may need room for what the window remembers. Where there is none it is not made, and nothing else
// has changed; it is as soon as there is.
func TestDiskFullOfAWindow(t *testing.T) {
	dir := smallDisk(t, 16<<10)
	h := newHost()
	u := h.open(t, filepath.Join(dir, "f"), Options{Limit: sliding(5, minute)})
	v := h.open(t, u.path, Options{})
	u.grants()
	h.pass(time.Second)
	ballast := filepath.Join(dir, "ballast")
	fill(t, ballast)
	before := u.bytes()
	for _, f := range []*user{u, v, u} {
		if granted, _, err := f.Try(t.Context(), 1); granted || !full(err) || !strings.Contains(err.Error(), u.path) {
			t.Errorf("on a full disk: %v, %v", granted, err)
		}
	}
	if !bytes.Equal(u.bytes()[:len(before)], before) {
		t.Error("the state has changed")
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	u.grants()
	fill(t, ballast)
	for range 3 { // there is room now
		h.pass(time.Second)
		v.grants()
	}
	u.refuses(minute - 4*time.Second)
	u.warned()
	v.warned()
}

func TestNoPermission(t *testing.T) {
	path := statePath(t)
	h := newHost()
	h.open(t, path, perMinute()).grants()
	asNobody(t, func() {
		var pe *fs.PathError
		if _, err := Open(path, "key", perMinute()); !errors.Is(err, fs.ErrPermission) || !errors.As(err, &pe) {
			t.Errorf("%v", err)
		}
		if _, err := Open(filepath.Join(filepath.Dir(path), "other.state"), "key", perMinute()); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%v", err)
		}
		if _, err := Read(path); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%v", err)
		}
	})
}

func TestTheFileIsRemovedOrReplaced(t *testing.T) {
	for name, gone := range map[string]func(path string) error{
		"removed":                os.Remove,
		"removed, directory too": func(path string) error { return os.RemoveAll(filepath.Dir(path)) },
		"moved away":             func(path string) error { return os.Rename(path, path+".old") },
		"replaced": func(path string) error {
			h := newHost()
			f, err := Open(path+".new", "key", Options{Limit: pacer.Every(minute), hooks: h.hooks()})
			if err != nil {
				return err
			}
			_ = f.Close()
			return os.Rename(path+".new", path)
		},
	} {
		h := newHost()
		path := statePath(t)
		u := h.open(t, path, perMinute())
		v := h.open(t, path, Options{})
		u.grants()
		r, s := u.reserve(), v.reserve()
		h.pass(30 * time.Second)
		if err := gone(path); err != nil {
			t.Fatal(err)
		}
		// Each asks again at the next look, behind what was granted.
		first, second := r.SinceBoot()-h.now, s.SinceBoot()-h.now
		if first != 30*time.Second || second != 90*time.Second {
			t.Errorf("%s: the slots are in %v and %v", name, first, second)
		}
		st, err := Read(path)
		if err != nil || st.Key != "key" {
			t.Errorf("%s: %+v, %v", name, st, err)
		}
		h.pass(90 * time.Second)
		if err := errors.Join(r.Wait(t.Context()), s.Wait(t.Context())); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A file that can't be made again ends those who wait for it, with the reason. Once it can be, all is well.
func TestRemovedAndCannotBeMade(t *testing.T) {
	h := newHost()
	path := statePath(t)
	u := h.open(t, path, perMinute())
	u.grants()
	r := u.reserve()
	h.pass(time.Second)
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Dir(path), []byte("a file where the directory was"))
	var pe *fs.PathError
	for range 2 {
		if err := r.Wait(t.Context()); !errors.As(err, &pe) && !errors.Is(err, ErrClosed) {
			t.Errorf("one who waits: %v", err)
		}
		if err := u.Wait(t.Context()); !errors.As(err, &pe) {
			t.Errorf("one who asks: %v", err)
		}
	}
	if err := os.Remove(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	u.refuses(minute - time.Second) // what was granted counts
	h.pass(minute - time.Second)
	u.grants()
}

func TestKeysAreNotInNames(t *testing.T) {
	dir := t.TempDir()
	path := PathOf(dir, "s3cret")
	if name := filepath.Base(path); strings.Contains(name, "s3cret") || path != PathOf(dir, "s3cret") || path == PathOf(dir, "s3cret2") ||
		strings.Contains(name, hex.EncodeToString([]byte("s3cret"))) {
		t.Errorf("%q", name)
	}
	if _, err := Open(path, strings.Repeat("k", KeyMax+1), perMinute()); err == nil {
		t.Error("a key that has no room is accepted")
	}
	f, err := Open(path, strings.Repeat("k", KeyMax), perMinute())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // a test
	if s, err := f.Status(); err != nil || len(s.Key) != KeyMax {
		t.Errorf("%d bytes of key, %v", len(s.Key), err)
	}
}

func TestDefaultDir(t *testing.T) {
	for _, c := range []struct{ dir, xdg, home, want string }{
		{"/d", "/x", "/h", "/d"},
		{"", "/x", "/h", "/x/throttle"},
		{"", "x", "/h", "/h/.local/state/throttle"},
		{"", "", "/h", "/h/.local/state/throttle"},
		{"", "", "", ""},
	} {
		env := map[string]string{"THROTTLE_STATE_DIR": c.dir, "XDG_STATE_HOME": c.xdg, "HOME": c.home}
		if got, err := DefaultDir(func(k string) string { return env[k] }); got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%+v: %q, %v", c, got, err)
		}
	}
}

// A header that was intact a moment ago is looked at all the same.
func TestAHeaderThatIsDamagedWhileInUse(t *testing.T) {
	h := newHost()
	u := h.open(t, statePath(t), perMinute())
	u.grants()
	for _, at := range []int64{0, keyAt, keyAt + 2, keyAt + KeyMax - 1, keyLenAt, headSumAt} {
		before := u.bytes()
		b := slices.Clone(before)
		b[at] ^= 0x10
		if err := u.h.writeAt(b, 0); err != nil {
			t.Fatal(err)
		}
		if at == 0 {
			if err := u.Wait(t.Context()); !errors.Is(err, ErrForeign) {
				t.Errorf("with another magic: %v", err)
			}
			if err := u.h.writeAt(before, 0); err != nil {
				t.Fatal(err)
			}
			continue
		}
		u.refuses(minute)
		u.warned("head")
		if !bytes.Equal(u.bytes()[:wakeAt], before[:wakeAt]) || !bytes.Equal(u.bytes()[headSumAt:recordAt(0)], before[headSumAt:recordAt(0)]) {
			t.Errorf("damaged at %d it was not put right", at)
		}
	}
	h.pass(minute)
	u.grants()
	u.warned()
}
