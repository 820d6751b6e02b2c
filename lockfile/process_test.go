//go:build linux || darwin

package lockfile

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

// TestMain makes the test binary one of the processes of a test, if it is told to be.
func TestMain(m *testing.M) {
	if args := os.Getenv("LOCKFILE_TEST_PROCESS"); args != "" {
		if err := process(strings.Fields(args)); err != nil {
			_, _ = fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// process does as its arguments say: PATH EVERY VERB N.
func process(args []string) error {
	every, err := time.ParseDuration(args[1])
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(args[3])
	if err != nil {
		return err
	}
	f, err := Open(args[0], "", Options{Limit: pacer.Every(every)})
	if err != nil {
		return err
	}
	ctx := context.Background()
	switch args[2] {
	case "grants": // take n grants, one after another: print slot and start of each, on the boot clock
		say("ready")
		for range n {
			r, err := f.Grant(ctx, 1)
			if err != nil {
				return err
			}
			say(int64(r.SinceBoot()), f.clock.now())
		}
	case "one": // take one grant, and say when it has a place
		r, err := f.Reserve(ctx, 1)
		if err != nil {
			return err
		}
		say("ready")
		if err := r.Wait(ctx); err != nil {
			return err
		}
		say(int64(r.SinceBoot()), f.clock.now())
	case "throttled": // take a grant, and say that the remote wants n ms of peace: print until when
		r, err := f.Grant(ctx, 1)
		if err != nil {
			return err
		}
		say("ready")
		c, err := r.Throttled(ctx, pacer.Feedback{After: time.Duration(n) * time.Millisecond})
		if err != nil {
			return err
		}
		say(int64(r.SinceBoot()), f.clock.now()+int64(time.Until(c.Until)))
	case "grow": // take a grant, and then a place in the queue, in a file that can't grow
		signal.Ignore(syscall.SIGXFSZ)
		if err := noGrowth(); err != nil {
			return err
		}
		if err := f.Wait(ctx); err != nil {
			return err
		}
		say("ready")
		_, err := f.Reserve(ctx, 1)
		say(errors.Unwrap(err))
	case "hold": // die or be stopped with the lock held, and a part of an update written
		if err := f.lock(ctx); err != nil {
			return err
		}
		if err := f.h.writeAt(make([]byte, entrySize), ringAt(0)); err != nil {
			return err
		}
		say("ready")
		time.Sleep(time.Hour)
	}
	return nil
}

func say(what ...any) { _, _ = fmt.Fprintln(os.Stdout, what...) }

// A proc is a process of a test.
type proc struct {
	t   *testing.T
	cmd *exec.Cmd
	out *bufio.Reader
}

// start starts a process, and waits until it is ready.
func start(t *testing.T, path string, every time.Duration, verb string, n int, wrap ...string) *proc {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	argv := append(wrap, exe) //nolint:gocritic // a new slice is what is wanted
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), fmt.Sprintf("LOCKFILE_TEST_PROCESS=%s %v %s %d", path, every, verb, n))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &proc{t, cmd, bufio.NewReader(out)}
	t.Cleanup(p.kill)
	if line, err := p.out.ReadString('\n'); line != "ready\n" {
		t.Fatalf("a process says %q, %v", line, err)
	}
	return p
}

func (p *proc) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Error(err)
	}
}

func (p *proc) kill() {
	if p.cmd.ProcessState == nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	}
}

// A start is when a process had a slot, and when it went.
type grantOf struct {
	slot, start int64
	proc        int
}

// grants waits for the process, and returns its grants.
func (p *proc) grants(i int) (gs []grantOf) {
	p.t.Helper()
	b, err := io.ReadAll(p.out)
	if err != nil {
		p.t.Error(err)
	}
	_ = p.cmd.Wait()
	for line := range strings.Lines(string(b)) {
		g := grantOf{proc: i}
		if n, _ := fmt.Sscan(line, &g.slot, &g.start); n == 2 { // the last line of one that was killed may be cut
			gs = append(gs, g)
		}
	}
	return gs
}

// merge sorts grants by slot, and checks that none was early, and that no two are nearer than every.
func merge(t *testing.T, every time.Duration, gs []grantOf) []grantOf {
	t.Helper()
	slices.SortFunc(gs, func(a, b grantOf) int { return int(a.slot - b.slot) })
	for i, g := range gs {
		if g.start < g.slot {
			t.Errorf("grant %d started %v early", i, time.Duration(g.slot-g.start))
		}
		if i > 0 && g.slot-gs[i-1].slot < int64(every) {
			t.Errorf("grants %d and %d are %v apart", i-1, i, time.Duration(g.slot-gs[i-1].slot))
		}
	}
	return gs
}

// gate makes a file whose limit allows nothing yet, so that processes can line up. Its owner opens it.
func gate(t *testing.T) *File {
	t.Helper()
	f, err := Open(filepath.Join(t.TempDir(), "f"), "", Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if err := f.SetLimit(t.Context(), pacer.Limit{}); err != nil {
		t.Fatal(err)
	}
	return f
}

// waiters waits until n wait.
func waiters(t *testing.T, f *File, n int) Status {
	t.Helper()
	for {
		s, err := f.Status()
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Waiting) == n {
			return s
		}
		time.Sleep(time.Millisecond)
	}
}

func TestTwentyProcessesTakeTurns(t *testing.T) {
	const procs, each, every = 20, 25, 5 * time.Millisecond
	f := gate(t)
	ps := make([]*proc, procs)
	for i := range ps {
		ps[i] = start(t, f.path, every, "grants", each)
	}
	waiters(t, f, procs)
	if err := f.SetLimit(t.Context(), pacer.Every(every)); err != nil {
		t.Fatal(err)
	}
	var all []grantOf
	for i, p := range ps {
		all = append(all, p.grants(i)...)
	}
	all = merge(t, every, all)
	if len(all) != procs*each {
		t.Fatalf("%d grants of %d", len(all), procs*each)
	}
	first := map[int]bool{}
	for _, g := range all[:procs] {
		first[g.proc] = true
	}
	if len(first) != procs {
		t.Errorf("%d processes were among the first %d grants, though all waited", len(first), procs)
	}
	exact := 1
	for i := range all[1:] {
		if all[i+1].slot-all[i].slot == int64(every) {
			exact++
		} else {
			t.Logf("slot %d is %v after the one before", i+1, time.Duration(all[i+1].slot-all[i].slot))
		}
	}
	t.Logf("%d of %d slots are exactly %v after the one before; all took %v", exact, len(all), every, time.Duration(all[len(all)-1].slot-all[0].slot))
	if exact < procs { // those who waited at the start were there for sure
		t.Errorf("only %d slots are exactly %v after the one before", exact, every)
	}
}

func TestKilledWhileWaiting(t *testing.T) {
	f := gate(t)
	var ps []*proc
	for range 5 {
		ps = append(ps, start(t, f.path, time.Hour, "one", 1))
	}
	s := waiters(t, f, 5)
	if s.Waiting[1].PID != ps[1].cmd.Process.Pid || s.Waiting[1].Cost != 1 || s.Waiting[1].Since.IsZero() {
		t.Errorf("the second who waits is %+v, not process %d", s.Waiting[1], ps[1].cmd.Process.Pid)
	}
	ps[1].kill()
	killed := time.Now()
	for stored(t, f) != 4 { // the others find out by themselves
		time.Sleep(time.Millisecond)
	}
	t.Logf("its place was given back after %v", time.Since(killed))
	if err := f.SetLimit(t.Context(), pacer.Every(10*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	var all []grantOf
	for _, i := range []int{0, 2, 3, 4} {
		all = append(all, ps[i].grants(i)...)
	}
	all = merge(t, 10*time.Millisecond, all)
	var order []int
	for _, g := range all {
		order = append(order, g.proc)
	}
	if !slices.Equal(order, []int{0, 2, 3, 4}) || all[3].slot-all[0].slot != int64(30*time.Millisecond) {
		t.Errorf("the grants went to %v: %v", order, all)
	}
}

// stored returns how many the file says wait: it is not looked whether they live.
func stored(t *testing.T, f *File) int {
	t.Helper()
	b, err := os.ReadFile(f.path)
	if err != nil {
		t.Fatal(err)
	}
	var r record
	_, _ = newest(b[:pageSize], &r)
	return int(r.waitingLen)
}

func TestStoppedWhileWaiting(t *testing.T) {
	const every = 20 * time.Millisecond
	f := gate(t)
	var ps []*proc
	for range 4 {
		ps = append(ps, start(t, f.path, every, "one", 1))
	}
	waiters(t, f, 4)
	ps[1].signal(syscall.SIGSTOP)
	if err := f.SetLimit(t.Context(), pacer.Every(every)); err != nil {
		t.Fatal(err)
	}
	var all []grantOf
	for _, i := range []int{0, 2, 3} { // nobody waits for the one that is stopped
		all = append(all, ps[i].grants(i)...)
	}
	all = merge(t, every, all)
	if len(all) != 3 || all[1].slot-all[0].slot != int64(2*every) || all[2].slot-all[1].slot != int64(every) {
		t.Errorf("the others have %v", all)
	}
	ps[1].signal(syscall.SIGCONT)
	late := ps[1].grants(1)
	if len(late) != 1 || len(all) > 0 && late[0].slot != all[0].slot+int64(every) {
		t.Errorf("the one that was stopped has %v", late)
	}
}

func TestAHolderOfTheLockDies(t *testing.T) {
	f := gate(t)
	if err := f.SetLimit(t.Context(), pacer.Every(time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	holder := start(t, f.path, time.Millisecond, "hold", 0)
	holder.signal(syscall.SIGSTOP)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := f.Wait(ctx); err == nil {
		t.Error("a grant while somebody else holds the lock")
	}
	if s, err := f.Status(); err != nil || s.Damage != "" {
		t.Errorf("status while the lock is held: %+v, %v", s, err)
	}
	holder.kill()
	if err := f.Wait(t.Context()); err != nil {
		t.Errorf("after it died: %v", err)
	}
}

// What one process hears from the remote holds for those that wait already, and for those that come later.
func TestAProcessIsThrottled(t *testing.T) {
	const every, peace = 10 * time.Millisecond, 300
	f := gate(t)
	if err := f.SetLimit(t.Context(), pacer.Every(time.Hour)); err != nil {
		t.Fatal(err)
	}
	first := start(t, f.path, time.Hour, "throttled", peace)
	ps := []*proc{start(t, f.path, time.Hour, "one", 1), start(t, f.path, time.Hour, "one", 1)}
	said := first.grants(0)
	ps = append(ps, start(t, f.path, time.Hour, "one", 1))
	if err := f.SetLimit(t.Context(), pacer.Every(every)); err != nil {
		t.Fatal(err)
	}
	var all []grantOf
	for i, p := range ps {
		all = append(all, p.grants(i)...)
	}
	all = merge(t, every, all)
	if len(said) != 1 || len(all) != 3 {
		t.Fatalf("%v, %v", said, all)
	}
	const reading = int64(time.Millisecond) // of two clocks, one after the other
	if until := said[0].start; all[0].slot < until-reading || until < said[0].slot+peace*int64(time.Millisecond) {
		t.Errorf("no grants until %d, and one at %d", until, all[0].slot)
	}
}

// A storm of kills: no window is over the limit, and no one is stuck.
func TestKillStorm(t *testing.T) {
	const workers, every = 8, 2 * time.Millisecond
	storm := 2 * time.Second
	if testing.Short() {
		storm = 500 * time.Millisecond
	}
	f := gate(t)
	if err := f.SetLimit(t.Context(), pacer.Every(every)); err != nil {
		t.Fatal(err)
	}
	var all []grantOf
	ps := make([]*proc, workers)
	for i := range ps {
		ps[i] = start(t, f.path, every, "grants", 1<<30)
	}
	killed := 0
	for end := time.Now().Add(storm); time.Now().Before(end); killed++ {
		time.Sleep(20 * time.Millisecond)
		i := rand.IntN(workers)
		_ = ps[i].cmd.Process.Kill()
		all = append(all, ps[i].grants(i)...)
		ps[i] = start(t, f.path, every, "grants", 1<<30)
	}
	for i, p := range ps {
		_ = p.cmd.Process.Kill()
		all = append(all, p.grants(i)...)
	}
	all = merge(t, every, all)
	if len(all) == 0 {
		t.Fatal("no grants")
	}
	took := time.Duration(all[len(all)-1].slot - all[0].slot)
	t.Logf("%d kills, %d grants seen in %v: %.1f %% of the rate", killed, len(all), took, 100*float64(len(all))*float64(every)/float64(took))
	if err := f.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	if s, err := f.Status(); err != nil || s.Damage != "" || len(s.Waiting) != 0 {
		t.Errorf("afterwards: %+v, %v", s, err)
	}
}

// The same with a sliding window: whatever is killed, no window has more than its grants.
func TestKillStormOnAWindow(t *testing.T) {
	const workers, room, per = 4, 10, 20 * time.Millisecond
	storm := 2 * time.Second
	if testing.Short() {
		storm = 500 * time.Millisecond
	}
	f := gate(t)
	limits := pacer.Limits{pacer.Every(time.Microsecond), sliding(room, per)} // the first is that of the workers
	if err := f.SetLimits(t.Context(), limits); err != nil {
		t.Fatal(err)
	}
	var all []grantOf
	ps := make([]*proc, workers)
	for i := range ps {
		ps[i] = start(t, f.path, time.Microsecond, "grants", 1<<30)
	}
	for end := time.Now().Add(storm); time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
		i := rand.IntN(workers)
		_ = ps[i].cmd.Process.Kill()
		all = append(all, ps[i].grants(i)...)
		ps[i] = start(t, f.path, time.Microsecond, "grants", 1<<30)
	}
	for i, p := range ps {
		_ = p.cmd.Process.Kill()
		all = append(all, p.grants(i)...)
	}
	all = merge(t, 0, all)
	for i := room; i < len(all); i++ {
		if d := all[i].slot - all[i-room].slot; d < int64(per) {
			t.Errorf("%d grants within %v", room+1, time.Duration(d))
		}
	}
	if s, err := f.Status(); err != nil || s.Damage != "" || s.Limits.String() != limits.String() || len(all) == 0 {
		t.Errorf("afterwards: %d grants, %+v, %v", len(all), s, err)
	}
}

func TestThousandWaiters(t *testing.T) {
	f := gate(t)
	var rs []*Reservation
	var files []*File
	for i := range 1000 {
		if i%50 == 0 {
			g, err := Open(f.path, "", Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer g.Close() //nolint:errcheck // a test
			files = append(files, g)
		}
		r, err := files[len(files)-1].Reserve(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		rs = append(rs, r)
	}
	for _, i := range []int{3, 7} { // these die
		if err := files[i].Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.SetLimit(t.Context(), pacer.Every(time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	before := time.Duration(0)
	for i, r := range rs {
		if j := i / 50; j == 3 || j == 7 {
			continue
		}
		if err := r.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		most := time.Millisecond
		if i == 200 || i == 400 { // behind 50 dead ones, which may be found when the first of them had its slot
			most = 51 * time.Millisecond
		}
		if d := r.SinceBoot() - before; before != 0 && (d < time.Millisecond || d > most) {
			t.Fatalf("slot %d is %v after the one before", i, d)
		}
		before = r.SinceBoot()
	}
}
