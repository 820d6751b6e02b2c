//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/throttle-cli/throttle/lockfile"
	"github.com/throttle-cli/throttle/pacer"
)

// shared measures what it costs that the processes of a host share a rate.
func shared() section {
	return section{
		name:  "shared",
		title: "One rate for all processes of a host",
		about: "200,000 grants of a limit that is `inf`, by processes that use the Go library. The bare loop is a Go program too: flock, pread of\n" +
			"4096 bytes, pwrite of 256, unlock. A grant among others that wait: one collects its grant and another comes to the end of the\n" +
			"queue, at 1000/s; half of them belong to another open file; a round is the median of 1,000. Loops: 4 that run a command one\n" +
			"time after another for 2 s; the rate is that at which commands end. `exec -- true`, of a limit that is `inf`: a round is the\n" +
			"median of 200 runs of each by turns, of sem 10. Wall time.",
		measure: func(b *bench) ([]row, error) {
			if err := b.prepareShared(); err != nil {
				return nil, err
			}
			var rows []row
			for _, part := range []func() ([]row, error){
				func() ([]row, error) { return b.grants(1) },
				func() ([]row, error) { return b.grants(4) },
				b.grantsAmong, b.loops, b.execs,
			} {
				more, err := part()
				if err != nil {
					return nil, err
				}
				rows = append(rows, more...)
			}
			return rows, nil
		},
	}
}

// sharedKey is the key of all commands.
const sharedKey = "bench"

// prepareShared keeps the state of throttle and of sem out of the home directory.
func (b *bench) prepareShared() error {
	for name, dir := range map[string]string{"THROTTLE_STATE_DIR": "state", "PARALLEL_HOME": "parallel"} {
		path := filepath.Join(b.dir, dir)
		if err := errors.Join(os.MkdirAll(path, 0o700), os.Setenv(name, path)); err != nil {
			return err
		}
	}
	return nil
}

// grants measures processes that ask for grants all the time.
func (b *bench) grants(processes int) ([]row, error) {
	n := 200_000
	if b.quick {
		n /= 10
	}
	work := func(kind string) side {
		return func() ([]float64, error) {
			took, err := b.work(kind, processes, n/processes)
			each := took.Seconds() / float64(n)
			return []float64{each, 1 / each}, err
		}
	}
	all, err := takeTurns(b.rounds, work("grants"), work("bare"))
	if err != nil {
		return nil, err
	}
	by := " by 1 process"
	if processes > 1 {
		by = fmt.Sprintf(" by %d processes", processes)
	}
	const peer = "bare loop"
	return []row{
		{what: "a grant" + by, unit: microseconds(), ours: all[0][0], peer: peer, theirs: all[1][0], goal: relative, most: 2},
		{what: "grants" + by, unit: perSecond(), ours: all[0][1], peer: peer, theirs: all[1][1]},
	}, nil
}

// work has workers of a kind do something n times each, all at once, and returns how long it takes.
func (b *bench) work(kind string, workers, n int) (time.Duration, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	hold, release, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer release.Close() //nolint:errcheck // nothing is written
	ready, stdout, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer ready.Close() //nolint:errcheck // it was only read
	file := filepath.Join(b.dir, kind)
	defer os.Remove(file) //nolint:errcheck // each time begins with a new one
	all := make([]*process, workers)
	for i := range all {
		if all[i], err = start(hold, stdout, self, workerArg, kind, file, strconv.Itoa(n)); err != nil {
			return 0, err
		}
	}
	_, _ = hold.Close(), stdout.Close()
	if _, err := io.ReadFull(ready, make([]byte, workers)); err != nil {
		return 0, fmt.Errorf("a worker of kind %s does not get ready: %w", kind, err)
	}
	began := time.Now()
	_ = release.Close()
	for _, p := range all {
		if _, err := p.end(); err != nil {
			return 0, err
		}
	}
	return time.Since(began), nil
}

// workerArg is the first argument by which bench starts itself as a worker.
const workerArg = "worker"

// worker is a process of its own: it gets ready, says so by a byte, waits for the end of its input and does what its kind
// does as often as it is told.
func worker(args []string, stdin io.Reader, stdout io.Writer) error {
	if len(args) != 3 {
		return errors.New("a worker takes a kind, a file and a number")
	}
	n, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	open := openBare
	if args[0] == "grants" {
		open = openGrants
	}
	once, err := open(args[1])
	if err != nil {
		return err
	}
	if _, err := stdout.Write([]byte{'.'}); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, stdin); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background()) // as in a command: one that could end
	defer stop()
	for range n {
		if err := once(ctx); err != nil {
			return err
		}
	}
	return nil
}

// openGrants returns what takes a grant of a state file.
func openGrants(path string) (once func(context.Context) error, err error) {
	f, err := lockfile.Open(path, "", lockfile.Options{Limit: pacer.Unlimited()})
	return f.Wait, err
}

// openBare returns the least that an update of a file can be.
func openBare(path string) (once func(context.Context) error, err error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	page := make([]byte, 4096)
	if _, err := unix.Pwrite(fd, page, 0); err != nil {
		return nil, err
	}
	lock := func() error {
		for {
			if err := unix.Flock(fd, unix.LOCK_EX); !errors.Is(err, unix.EINTR) {
				return err
			}
		}
	}
	return func(context.Context) error {
		if err := lock(); err != nil {
			return err
		}
		if _, err := unix.Pread(fd, page, 0); err != nil {
			return err
		}
		if _, err := unix.Pwrite(fd, page[:256], 2048); err != nil {
			return err
		}
		return unix.Flock(fd, unix.LOCK_UN)
	}, nil
}

// grantsAmong measures a grant while others wait.
func (b *bench) grantsAmong() ([]row, error) {
	n := 1000
	if b.quick {
		n /= 5
	}
	waiters := []int{1, 100, 1000}
	var sides []side
	for _, w := range waiters {
		sides = append(sides, func() ([]float64, error) {
			each, err := b.grantAmong(w, n)
			return []float64{each}, err
		})
	}
	all, err := takeTurns(b.rounds, sides...)
	if err != nil {
		return nil, err
	}
	var rows []row
	for i, w := range waiters {
		rows = append(rows, row{what: fmt.Sprintf("a grant among %d waiting", w), unit: microseconds(), ours: all[i][0], goal: absolute, most: 50e-6})
	}
	return rows, nil
}

// grantAmong returns the median time that one of n grants takes when so many wait.
func (b *bench) grantAmong(waiting, n int) (seconds float64, err error) {
	const period = time.Millisecond
	path := filepath.Join(b.dir, "queue")
	defer os.Remove(path) //nolint:errcheck // each time begins with a new one
	var files [2]*lockfile.File
	for i := range files {
		f, err := lockfile.Open(path, "", lockfile.Options{Limit: pacer.Every(period)})
		if err != nil {
			return 0, err
		}
		defer f.Close() //nolint:errcheck // it was measured before
		files[i] = f
	}
	ctx := context.Background()
	asked := 0
	ask := func() (*lockfile.Reservation, error) {
		asked++
		return files[asked%2].Reserve(ctx, 1)
	}
	first, err := ask() // an idle limit grants at once
	if err != nil {
		return 0, err
	}
	last := first.Slot()
	queue := make([]*lockfile.Reservation, waiting)
	for i := range queue {
		if queue[i], err = ask(); err != nil {
			return 0, err
		}
	}
	var all figure
	for i := 1; i <= waiting+n; i++ {
		due := last.Add(period + period/20) // well after its slot, so that it need not sleep
		for time.Now().Before(due) {        // a sleep would leave the core cold, and no one knows how cold
			runtime.Gosched()
		}
		began := time.Now()
		if err := queue[0].Wait(ctx); err != nil {
			return 0, err
		}
		r, err := ask()
		if err != nil {
			return 0, err
		}
		if i > waiting { // the first ones came due while the queue was made
			all = append(all, time.Since(began).Seconds())
		}
		last = queue[0].Slot() // as a rule a period after the one before, but not if we were late and nobody waited
		queue = append(queue[1:], r)
	}
	return all.median(), nil
}

// loops measures the rate of commands in loops of several shells that share it.
func (b *bench) loops() ([]row, error) {
	const rate, pause = 100, "0.01"
	length := 2 * time.Second
	if b.quick {
		length /= 4
	}
	each := func(argv ...string) side {
		return func() ([]float64, error) {
			got, err := loop(4, length, argv...)
			return []float64{got, max(got/rate-1, 1-got/rate)}, err
		}
	}
	sides := []side{each(b.throttle, "wait", "--key", "loops", "--rate", fmt.Sprintf("%d/s", rate))}
	var names []string
	if !b.missing["flock"] {
		names = append(names, "flock L sleep "+pause)
		sides = append(sides, each("flock", filepath.Join(b.dir, "L"), "sleep", pause))
	}
	if !b.missing["parallel"] {
		names = append(names, "sem --fg sleep "+pause)
		sides = append(sides, each("sem", "--fg", "--id", "loops", "-j1", "sleep", pause))
	}
	all, err := takeTurns(b.rounds, sides...)
	if err != nil {
		return nil, err
	}
	what := fmt.Sprintf("4 loops of `wait` at %d/s", rate)
	rows := []row{
		{what: what, unit: perSecond(), ours: all[0][0]},
		{what: what + ", rate error", unit: percent(), ours: all[0][1]},
	}
	var compared []row
	for i, name := range names {
		for j, r := range rows {
			r.peer, r.theirs = name, all[i+1][j]
			compared = append(compared, r)
		}
	}
	if len(compared) > 0 {
		return compared, nil
	}
	return rows, nil
}

// loop has loops run a command one time after another, for so long, and returns the rate at which it ended.
func loop(loops int, length time.Duration, argv ...string) (rate float64, err error) {
	var all sync.WaitGroup
	ends := make([][]time.Time, loops)
	errs := make([]error, loops)
	began := time.Now()
	for i := range loops {
		all.Go(func() {
			for time.Since(began) < length && errs[i] == nil {
				_, errs[i] = toEnd(argv...)
				ends[i] = append(ends[i], time.Now())
			}
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return 0, err
	}
	ended := slices.Concat(ends...)
	first, last := slices.MinFunc(ended, time.Time.Compare), slices.MaxFunc(ended, time.Time.Compare)
	return float64(len(ended)-1) / last.Sub(first).Seconds(), nil
}

// execs measures a command that waits for its grant and does nothing.
func (b *bench) execs() ([]row, error) {
	runs := 200
	if b.quick {
		runs /= 10
	}
	const semEvery = 20 // it takes long
	command, err := exec.LookPath("true")
	if err != nil {
		return nil, err
	}
	execer, err := b.program("exec", "package main\n\nimport (\n\t\"os\"\n\t\"syscall\"\n)\n\n"+
		"func main() { panic(syscall.Exec(os.Args[1], os.Args[1:], os.Environ())) }\n")
	if err != nil {
		return nil, err
	}
	if _, err := toEnd(b.throttle, "set", "--key", sharedKey, "--rate", "inf"); err != nil {
		return nil, err
	}
	type contender struct {
		name  string
		argv  []string
		every int
		most  float64 // of the ratio, 0 is any
	}
	commands := []contender{{argv: []string{b.throttle, "exec", "--key", sharedKey, "--", command}, every: 1}}
	if !b.missing["flock"] {
		commands = append(commands, contender{"flock F true", []string{"flock", filepath.Join(b.dir, "F"), command}, 1, 2})
	}
	commands = append(commands, contender{"Go program that execs true", []string{execer, command}, 1, 0})
	if !b.missing["parallel"] {
		commands = append(commands, contender{"sem --fg true", []string{"sem", "--fg", "--id", sharedKey, command}, semEvery, 0.05})
	}
	round := func() ([]float64, error) {
		wall := make([]figure, len(commands))
		for run := range runs {
			for i, c := range commands {
				if run%c.every != 0 {
					continue
				}
				u, err := toEnd(c.argv...)
				if err != nil {
					return nil, err
				}
				wall[i] = append(wall[i], u.wall.Seconds())
			}
		}
		var medians []float64
		for _, f := range wall {
			medians = append(medians, f.median())
		}
		return medians, nil
	}
	all, err := takeTurns(b.rounds, round)
	if err != nil {
		return nil, err
	}
	var rows []row
	for i, c := range commands[1:] {
		r := row{what: "`exec -- true`", unit: milliseconds(), ours: all[0][0], peer: c.name, theirs: all[0][i+1]}
		if c.most > 0 {
			r.goal, r.most = relative, c.most
		}
		rows = append(rows, r)
	}
	return rows, nil
}
