package progress_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/throttle-cli/throttle/internal/progress"
	"github.com/throttle-cli/throttle/internal/tally"
	"github.com/throttle-cli/throttle/pacer"
)

// running returns a state that changes each time.
func running() func() progress.State {
	all := tally.New()
	all.SetTotal(500)
	return func() progress.State {
		all.Start(true, time.Millisecond)
		all.End(tally.Ending{Run: time.Second})
		return progress.State{Snapshot: all.Snapshot(), Wanted: pacer.Per(20, time.Second), Effective: pacer.Per(20, time.Second), Jobs: 8}
	}
}

func noEnv(string) string { return "" }

// show shows a bar on a terminal.
func show(v *terminal, stdout io.Writer, both bool) *progress.Screen {
	return progress.Show(stdout, v, progress.Options{
		Mode: progress.Bar, State: running(), Env: noEnv,
		Terminal: &progress.Terminal{Size: v.size, Stdout: both},
	})
}

// output returns some output of a job, and where it may be cut.
func output(rng *rand.Rand, width int) string {
	word := func(n int) string {
		var b strings.Builder
		for range n {
			b.WriteString([]string{"a", "b", "c", " ", "é", "z"}[rng.IntN(6)])
		}
		return b.String()
	}
	var b strings.Builder
	for range 1 + rng.IntN(4) {
		switch rng.IntN(12) {
		case 0:
			b.WriteString(word(width))
		case 1:
			b.WriteString(word(width * (2 + rng.IntN(2))))
		case 2:
			b.WriteString(strings.Repeat("世界", rng.IntN(width)))
		case 3:
			fmt.Fprintf(&b, "\x1b[3%dm%s", rng.IntN(8), word(rng.IntN(width)))
		case 4:
			b.WriteString("\n" + word(rng.IntN(9)) + "\t" + word(rng.IntN(9)))
		case 5:
			fmt.Fprintf(&b, "%d%%\r", rng.IntN(100))
		case 6:
			b.WriteString("\r\n")
		case 7:
			b.WriteString(word(rng.IntN(2)*(width-1)) + "x\b" + word(rng.IntN(3)))
		case 8:
			b.WriteString("\n")
		default:
			b.WriteString(word(rng.IntN(2 * width)))
		}
		if rng.IntN(3) > 0 {
			b.WriteString("\n")
		}
	}
	return b.String()
}

// isBar matches a bar whose looks are shown, in a row of its own.
var isBar = regexp.MustCompile(`^\d+/500( .*)? ETA (\d+m)?\d+s$`)

// TestNothingIsGarbled holds what is on a terminal with a bar, now and in the end, against one without.
func TestNothingIsGarbled(t *testing.T) {
	for seed := range uint64(100) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 7))
			width, height := 20+rng.IntN(100), 2+rng.IntN(20)
			got, want := newTerminal(t, width, height), newTerminal(t, width, height)
			s := show(got, got, true)
			defer s.Close()
			var all []string
			for range 1 + rng.IntN(40) {
				p := output(rng, width)
				w := [2]io.Writer{s.Stdout(), s.Stderr()}[rng.IntN(2)]
				whole := p
				for p != "" {
					n := len(p)
					if rng.IntN(2) == 0 {
						n = 1 + rng.IntN(n) // in the midst of anything
					}
					if m, err := io.WriteString(w, p[:n]); m != n || err != nil {
						t.Fatal(m, err)
					}
					_, _ = io.WriteString(want, p[:n])
					p = p[n:]
					switch rng.IntN(3) {
					case 0:
						time.Sleep(time.Duration(rng.IntN(int(300 * time.Millisecond))))
					case 1:
						time.Sleep(time.Millisecond)
					}
				}
				all = append(all, whole)
				if rng.IntN(2) == 0 {
					time.Sleep(200 * time.Millisecond)
					synctest.Wait()
					last := len(got.lines(true)) - 1
					if last < 0 || !isBar.MatchString(got.lines(true)[last]) {
						t.Fatalf("seed %d: no bar below %q", seed, got.lines(true))
					}
					if lines := got.lines(false)[:last]; !slices.Equal(trimmed(lines), want.lines(false)) {
						t.Fatalf("seed %d, %d columns, after %q:\n%s", seed, width, all[len(all)-1], difference(trimmed(lines), want.lines(false)))
					}
				}
			}
			s.Close()
			if g, w := got.lines(true), want.lines(true); !slices.Equal(g, w) {
				t.Fatalf("seed %d, %d columns, at the end: %s", seed, width, difference(g, w))
			}
			below := want.top + want.at.row
			if len(want.row().cells) > 0 || want.at.column > 0 {
				below++
			}
			if got.top+got.at.row != below || got.at.column != 0 || got.at.pending || len(got.row().cells) != 0 || got.noWrap {
				t.Fatalf("seed %d: the cursor is left at %+v in %v, row %d and not %d, after %q", seed, got.at, got.row(), got.top+got.at.row, below, all[len(all)-1])
			}
		})
	}
}

// difference returns the first lines that differ.
func difference(got, want []string) string {
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			return fmt.Sprintf("line %d\ngot  %q\nwant %q", i, got[min(i, len(got)):min(i+2, len(got))], want[min(i, len(want)):min(i+2, len(want))])
		}
	}
	return ""
}

func trimmed(lines []string) []string {
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

// TestResize changes the size of the terminal at any time. Lines of jobs are shorter than any row here: a bar is not, and
// is wrapped when the terminal gets narrower.
func TestResize(t *testing.T) {
	for seed := range uint64(100) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 8))
			v := newTerminal(t, 20+rng.IntN(100), 3+rng.IntN(10))
			s := show(v, v, true)
			defer s.Close()
			var want strings.Builder
			for i := range 50 {
				line := fmt.Sprintf("%d%s", i, strings.Repeat("x", rng.IntN(15)))
				if rng.IntN(3) > 0 {
					line += "\n"
				} else {
					want.WriteString(line)
					_, _ = io.WriteString(s.Stderr(), line)
					time.Sleep(time.Duration(rng.IntN(int(200 * time.Millisecond))))
					line = "\n"
				}
				if rng.IntN(3) == 0 {
					synctest.Wait()
					v.resize(20+rng.IntN(100), 3+rng.IntN(10))
					if rng.IntN(2) == 0 {
						time.Sleep(200 * time.Millisecond)
						synctest.Wait()
						checkBar(t, v.lines(true))
					}
				}
				want.WriteString(line)
				_, _ = io.WriteString(s.Stdout(), line)
				time.Sleep(time.Duration(rng.IntN(int(200 * time.Millisecond))))
			}
			s.Close()
			if got, want := v.lines(false), strings.Split(strings.TrimSuffix(want.String(), "\n"), "\n"); !slices.Equal(got, want) {
				t.Fatalf("seed %d: %s", seed, difference(got, want))
			}
		})
	}
}

// checkBar checks that the last row is a bar, and no other one.
func checkBar(t *testing.T, rows []string) {
	t.Helper()
	for i, row := range rows {
		if last := i == len(rows)-1; last != isBar.MatchString(row) {
			t.Fatalf("row %d of %d is %q", i, len(rows), row)
		}
	}
}

// TestNarrowerThanItSays draws on a terminal that has just become narrower.
func TestNarrowerThanItSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newTerminal(t, 40, 5)
		s := progress.Show(v, v, progress.Options{
			Mode: progress.Bar, State: running(), Env: noEnv,
			Terminal: &progress.Terminal{Size: func() (int, int) { return 120, 5 }, Stdout: true},
		})
		var want []string
		for i := range 20 {
			line := fmt.Sprint("line ", i)
			want = append(want, line)
			_, _ = io.WriteString(s.Stdout(), line)
			time.Sleep(150 * time.Millisecond)
			_, _ = io.WriteString(s.Stdout(), "\n")
			time.Sleep(150 * time.Millisecond)
		}
		s.Close()
		if got := v.lines(false); !slices.Equal(got, want) {
			t.Error(difference(got, want))
		}
	})
}

// TestOddBytes writes what no terminal understands.
func TestOddBytes(t *testing.T) {
	const odd = "\x00\x1b[];8m\a\\\xff\xc3\xa9\xe4\xb8\x96\t\n\r\b x(P_"
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 9))
			var got, want bytes.Buffer
			s := progress.Show(io.Discard, &got, progress.Options{
				Mode: progress.Bar, State: running(), Env: noEnv, Terminal: &progress.Terminal{Size: func() (int, int) { return 0, 0 }},
			})
			for range 100 {
				p := make([]byte, rng.IntN(9))
				for i := range p {
					p[i] = odd[rng.IntN(len(odd))]
				}
				want.Write(p)
				if _, err := s.Stderr().Write(p); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Duration(rng.IntN(int(2 * time.Second))))
			}
			s.Close()
			if got.Len() < want.Len() {
				t.Errorf("seed %d: %d of %d bytes", seed, got.Len(), want.Len())
			}
		})
	}
}

// TestUnfinished leaves a character and a sequence alone until their ends come, but not for ever.
func TestUnfinished(t *testing.T) {
	for _, text := range []string{"\xe4\xb8", "\x1b", "\x1b[3", "\x1b]0;title", "\x1b]0;title\x1b"} {
		synctest.Test(t, func(t *testing.T) {
			var c counter
			s := progress.Show(io.Discard, &c, progress.Options{
				Mode: progress.Bar, State: running(), Env: noEnv, Terminal: &progress.Terminal{Size: func() (int, int) { return 80, 24 }},
			})
			defer s.Close()
			_, _ = io.WriteString(s.Stderr(), text)
			time.Sleep(950 * time.Millisecond)
			synctest.Wait()
			if c.text() != text {
				t.Errorf("%q became %q", text, c.text())
			}
			time.Sleep(time.Second)
			synctest.Wait()
			if !strings.Contains(c.text(), "/500") {
				t.Errorf("no bar after %q", text)
			}
		})
	}
}

// A counter keeps and counts writes.
type counter struct {
	mu     sync.Mutex
	n      int
	writes []string
}

func (c *counter) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	c.writes = append(c.writes, string(p))
	return len(p), nil
}

func (c *counter) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.writes, "")
}

func TestDrawnTenTimesASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c counter
		asked := 0
		next := running()
		s := progress.Show(io.Discard, &c, progress.Options{
			Mode: progress.Bar, Env: noEnv, Terminal: &progress.Terminal{Size: func() (int, int) { return 80, 24 }},
			State: func() progress.State {
				asked++
				return next()
			},
		})
		for range 5000 {
			time.Sleep(200 * time.Microsecond)
			_, _ = io.WriteString(s.Stderr(), "x\n")
		}
		s.Close()
		if asked > 10 || c.n > 5000+10+1 {
			t.Errorf("asked %d times, %d writes", asked, c.n)
		}
	})
}

// TestSameBarIsNotDrawnAgain writes nothing while nothing changes.
func TestSameBarIsNotDrawnAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c counter
		state := running()()
		s := progress.Show(io.Discard, &c, progress.Options{
			Mode: progress.Bar, Env: noEnv, Terminal: &progress.Terminal{Size: func() (int, int) { return 80, 24 }},
			State: func() progress.State { return state },
		})
		time.Sleep(time.Minute)
		s.Close()
		s.Close()
		if c.n != 2 {
			t.Errorf("%d writes: %q", c.n, c.writes)
		}
	})
}

// TestQuick shows no bar of what is over at once.
func TestQuick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newTerminal(t, 80, 24)
		s := show(v, v, true)
		_, _ = io.WriteString(s.Stdout(), "a\nb\n")
		time.Sleep(90 * time.Millisecond)
		synctest.Wait()
		if got := v.lines(false); !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("got %q", got)
		}
		s.Close()
	})
}

func TestOffIsNothing(t *testing.T) {
	for _, mode := range []progress.Mode{progress.Off, progress.Lines} {
		s := progress.Show(os.Stdout, os.Stderr, progress.Options{Mode: mode, State: running(), Every: time.Hour})
		if s.Stdout() != io.Writer(os.Stdout) || mode == progress.Off && s.Stderr() != io.Writer(os.Stderr) {
			t.Errorf("mode %v: the files are not passed on", mode)
		}
		if mode == progress.Off {
			s.Close()
		}
	}
}

// TestStdoutElsewhere leaves alone what does not go to the terminal.
func TestStdoutElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newTerminal(t, 60, 5)
		var out bytes.Buffer
		s := show(v, &out, false)
		if s.Stdout() != io.Writer(&out) {
			t.Error("stdout is not passed on")
		}
		s.Close()
	})
}

func TestLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		start := time.Now()
		s := progress.Show(io.Discard, &b, progress.Options{Mode: progress.Lines, Every: 10 * time.Second, State: func() progress.State {
			return progress.State{
				Snapshot: tally.Snapshot{Began: start, Elapsed: time.Since(start), Total: tally.Unknown, Done: 7},
				Wanted:   pacer.Unlimited(), Effective: pacer.Unlimited(),
			}
		}})
		time.Sleep(25 * time.Second)
		s.Close()
		want := "throttle: 7/? jobs, 0/s, elapsed 10s\nthrottle: 7/? jobs, 0/s, elapsed 20s\nthrottle: 7/? jobs, 0/s, elapsed 25s\n"
		if b.String() != want {
			t.Errorf("got\n%swant\n%s", b.String(), want)
		}
	})
}

// A stuck writer takes nothing until it is freed.
type stuck chan struct{}

func (s stuck) Write(p []byte) (int, error) {
	<-s
	return len(p), nil
}

// TestCloseOfStuck closes a bar on a terminal that was stopped with Ctrl-S.
func TestCloseOfStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		terminal := make(stuck)
		s := progress.Show(io.Discard, terminal, progress.Options{
			Mode: progress.Bar, State: running(), Env: noEnv, Terminal: &progress.Terminal{Size: func() (int, int) { return 80, 24 }},
		})
		time.Sleep(time.Second)
		start := time.Now()
		s.Close()
		if d := time.Since(start); d != time.Second {
			t.Errorf("it took %v", d)
		}
		close(terminal)
	})
}

func TestWriteErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &failing{}
		s := progress.Show(io.Discard, f, progress.Options{
			Mode: progress.Bar, State: running(), Env: noEnv, Terminal: &progress.Terminal{Size: func() (int, int) { return 80, 24 }},
		})
		defer s.Close()
		time.Sleep(150 * time.Millisecond)
		synctest.Wait()
		if n, err := s.Stderr().Write(make([]byte, 100)); n != 0 || !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("got %d, %v", n, err)
		}
	})
}

// failing writes a little and fails.
type failing struct{}

func (*failing) Write(p []byte) (int, error) { return min(len(p), 2), io.ErrClosedPipe }

func TestChoose(t *testing.T) {
	env := func(string) string { return "xterm" }
	if got := progress.Choose(&bytes.Buffer{}, env); got != progress.Lines {
		t.Errorf("a buffer has mode %v", got)
	}
	f, err := os.Create(t.TempDir() + "/file")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if got := progress.Choose(f, env); got != progress.Lines {
		t.Errorf("a file has mode %v", got)
	}
}

func BenchmarkWrite(b *testing.B) {
	for _, mode := range []progress.Mode{progress.Off, progress.Bar} {
		b.Run(fmt.Sprintf("mode=%d", mode), func(b *testing.B) {
			null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = null.Close() }()
			s := progress.Show(null, null, progress.Options{
				Mode: mode, State: running(), Env: noEnv, Terminal: &progress.Terminal{Size: func() (int, int) { return 80, 24 }, Stdout: true},
			})
			defer s.Close()
			p := []byte(strings.Repeat("x", 79) + "\n")
			for b.Loop() {
				if _, err := s.Stdout().Write(p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
