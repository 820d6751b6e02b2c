// Command torture has workers wait for grants of one key while it kills them, and then looks at every grant: none may be
// early, none may be stuck, the state must be whole.
//
//	go run ./bench/torture -duration 60s -workers 30 -rate 500/s -kill 20ms
//	go run ./bench/torture -duration 60s -rate 200/s -store "redis://127.0.0.1:6379/0?heartbeat=1s"
package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/big"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "torture:", err)
		os.Exit(1)
	}
}

// A storm is workers that wait for grants of one key, one after another, and what they got.
type storm struct {
	binary, rate, key string
	env               []string

	mu      sync.Mutex
	slots   []string // seconds since the boot of the host, as they were printed
	running []*os.Process
	killed  int
	errs    []error
}

func run() error {
	duration := flag.Duration("duration", time.Minute, "how long")
	workers := flag.Int("workers", 30, "how many wait at a time")
	rate := flag.String("rate", "500/s", "the rate")
	kill := flag.Duration("kill", 20*time.Millisecond, "one of them is killed in each of these intervals")
	binary := flag.String("throttle", "", "the binary; it is built if none is given")
	store := flag.String("store", "", "the URL of the store; a folder of its own if none is given")
	flag.Parse()
	limit, _, err := pacer.ParseRate(*rate)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "torture-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	if *binary == "" {
		*binary = filepath.Join(dir, "throttle")
		build := exec.Command("go", "build", "-o", *binary, ".")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("building throttle: %w\n%s", err, out)
		}
	}
	s := &storm{
		binary: *binary, rate: *rate, running: make([]*os.Process, *workers), key: fmt.Sprintf("torture-%d", os.Getpid()),
		env: append(os.Environ(), "THROTTLE_STATE_DIR="+filepath.Join(dir, "state"), "THROTTLE_STORE="+*store),
	}
	start := time.Now()
	s.rage(*duration, *kill)
	took := time.Since(start)
	return s.judge(limit, took)
}

// rage lets the workers wait, and kills one after another.
func (s *storm) rage(duration, kill time.Duration) {
	ctx, stop := context.WithTimeout(context.Background(), duration)
	defer stop()
	var all sync.WaitGroup
	for i := range s.running {
		all.Go(func() {
			for ctx.Err() == nil {
				s.wait(i)
			}
		})
	}
	ticks := time.NewTicker(kill)
	defer ticks.Stop()
	for {
		select {
		case <-ticks.C:
			s.mu.Lock()
			if p := s.running[rand.IntN(len(s.running))]; p != nil && p.Kill() == nil {
				s.killed++
			}
			s.mu.Unlock()
		case <-ctx.Done():
			all.Wait()
			return
		}
	}
}

// wait is one wait of worker i.
func (s *storm) wait(i int) {
	var out, trouble bytes.Buffer
	c := exec.Command(s.binary, "wait", "--key", s.key, "--rate", s.rate, "--json")
	c.Env, c.Stdout, c.Stderr = s.env, &out, &trouble
	if err := c.Start(); err != nil {
		s.fail(err)
		return
	}
	s.mu.Lock()
	s.running[i] = c.Process
	s.mu.Unlock()
	err := c.Wait()
	s.mu.Lock()
	s.running[i] = nil
	s.mu.Unlock()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() < 0 && out.Len() == 0 {
		return // it was killed
	}
	var got struct {
		Slot  json.Number `json:"slot_since_boot_s"`
		Since json.Number `json:"slot_since_1970_s"` // of a server
	}
	if out.Len() > 0 { // also of one that was killed after it had printed its grant
		err = json.Unmarshal(out.Bytes(), &got)
	}
	if err != nil || trouble.Len() > 0 {
		s.fail(fmt.Errorf("worker %d: %w: %s", i, err, trouble.Bytes()))
		return
	}
	s.mu.Lock()
	s.slots = append(s.slots, string(cmp.Or(got.Slot, got.Since)))
	s.mu.Unlock()
}

func (s *storm) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.errs) < 10 {
		s.errs = append(s.errs, err)
	}
}

// judge looks at what was granted.
func (s *storm) judge(limit pacer.Limit, took time.Duration) error {
	if err := errors.Join(s.errs...); err != nil {
		return err
	}
	var ns []int64
	for _, slot := range s.slots {
		r, ok := new(big.Rat).SetString(slot)
		if !ok {
			return fmt.Errorf("a slot of %q", slot)
		}
		r.Mul(r, big.NewRat(1e9, 1))
		ns = append(ns, new(big.Int).Quo(r.Num(), r.Denom()).Int64())
	}
	slices.Sort(ns)
	early := 0
	for i := 1; i < len(ns); i++ {
		if ns[i]-ns[i-1] < int64(limit.Interval()) {
			early++
		}
	}
	status, err := s.status()
	if err != nil {
		return err
	}
	wanted := limit.Units(took)
	fmt.Printf("%d grants in %v, %.2f %% of the rate; %d were printed, %d processes were killed\n",
		status.Grants, took.Round(time.Millisecond), 100*float64(status.Grants)/float64(wanted), len(ns), s.killed)
	switch {
	case early > 0:
		return fmt.Errorf("%d grants came closer to the one before than %v", early, limit.Interval())
	case status.Damage != "":
		return fmt.Errorf("the state is damaged: %s", status.Damage)
	case len(status.Waiting) > 0:
		return fmt.Errorf("%d still wait, and nobody is left", len(status.Waiting))
	case int64(status.Grants) > wanted+1:
		return fmt.Errorf("more grants than %d", wanted+1)
	}
	fmt.Println("no grant was early, nobody is stuck, the state is whole")
	return nil
}

type status struct {
	Grants  uint64
	Waiting []struct{ PID int }
	Damage  string
}

// status takes one more grant, to see that nothing is stuck, and reads how the key stands.
func (s *storm) status() (status, error) {
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	c := exec.CommandContext(ctx, s.binary, "wait", "--key", s.key)
	c.Env = s.env
	if out, err := c.CombinedOutput(); err != nil {
		return status{}, fmt.Errorf("one more grant: %w\n%s", err, out)
	}
	c = exec.Command(s.binary, "status", "--json", s.key)
	c.Env = s.env
	out, err := c.Output()
	if err != nil {
		return status{}, fmt.Errorf("status: %w", err)
	}
	var all []status
	if err := json.Unmarshal(out, &all); err != nil || len(all) != 1 {
		return status{}, fmt.Errorf("status %q: %w", out, err)
	}
	all[0].Grants-- // the one more
	return all[0], nil
}
