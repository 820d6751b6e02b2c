//go:build unix

package main

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"

	"github.com/throttle-cli/throttle/internal/redisstore"
	"github.com/throttle-cli/throttle/pacer"
)

// stores measures grants of a limit that is on a server.
func stores() section {
	return section{
		name:  "stores",
		title: "A rate that is on a server",
		about: "Grants of one key of a Redis server on this host, with a limit of 1,000,000/s, so that nobody waits: by goroutines that ask all\n" +
			"the time for 2 s, each with a connection of its own. The peer is `Allow` of go-redis/redis_rate, which says whether there is room, and\n" +
			"keeps no order. Both have the same client, and run one script for each grant, as the server counts them.",
		measure: func(b *bench) (rows []row, err error) {
			if b.missing["redis-server"] {
				return nil, nil
			}
			address, stop, err := b.redis()
			if err != nil {
				return nil, err
			}
			defer stop()
			for _, clients := range []int{1, 8, 64} {
				more, err := b.remoteGrants(address, clients)
				if err != nil {
					return nil, err
				}
				rows = append(rows, more...)
			}
			return rows, nil
		},
	}
}

// redis starts a server, and returns its address.
func (b *bench) redis() (address string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	address = l.Addr().String()
	_ = l.Close()
	_, port, _ := net.SplitHostPort(address)
	cmd := exec.Command("redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", b.dir, "--logfile", filepath.Join(b.dir, "redis.log"))
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	client := redis.NewClient(&redis.Options{Addr: address})
	defer client.Close() //nolint:errcheck // nothing is lost
	for start := time.Now(); client.Ping(context.Background()).Err() != nil; <-time.After(20 * time.Millisecond) {
		if time.Since(start) > 10*time.Second {
			stop()
			return "", nil, fmt.Errorf("redis-server does not answer at %s", address)
		}
	}
	return address, stop, nil
}

// remoteGrants measures clients that ask for grants all the time.
func (b *bench) remoteGrants(address string, clients int) ([]row, error) {
	ours := func() (func(context.Context) error, func() error, error) {
		o := redisstore.Options{Limits: pacer.Limits{pacer.Per(1e6, time.Second)}}
		s, err := redisstore.Open(context.Background(), "redis://"+address, "bench", o)
		if err != nil {
			return nil, nil, err
		}
		return s.Wait, s.Close, nil
	}
	theirs := func() (func(context.Context) error, func() error, error) {
		client := redis.NewClient(&redis.Options{Addr: address, Protocol: 2})
		limiter := redis_rate.NewLimiter(client)
		return func(ctx context.Context) error {
			r, err := limiter.Allow(ctx, "bench", redis_rate.Limit{Rate: 1e6, Burst: 1e6, Period: time.Second})
			if err == nil && r.Allowed != 1 {
				err = fmt.Errorf("redis_rate allows %d", r.Allowed)
			}
			return err
		}, client.Close, nil
	}
	work := func(open func() (func(context.Context) error, func() error, error)) side {
		return func() ([]float64, error) { return b.remoteRound(address, clients, open) }
	}
	all, err := takeTurns(b.rounds, work(ours), work(theirs))
	if err != nil {
		return nil, err
	}
	by := " by 1 client"
	if clients > 1 {
		by = fmt.Sprintf(" by %d clients", clients)
	}
	const peer = "redis_rate"
	return []row{
		{what: "a grant" + by, unit: microseconds(), ours: all[0][0], peer: peer, theirs: all[1][0], goal: relative, most: 1},
		{what: "grants" + by, unit: perSecond(), ours: all[0][1], peer: peer, theirs: all[1][1]},
		{what: "median latency" + by, unit: microseconds(), ours: all[0][2], peer: peer, theirs: all[1][2]},
		{what: "99th percentile of latency" + by, unit: microseconds(), ours: all[0][3], peer: peer, theirs: all[1][3]},
		{what: "scripts run for a grant" + by, unit: unit{"%.3f", 1, ""}, ours: all[0][4], peer: peer, theirs: all[1][4], goal: absolute, most: 1.001},
	}, nil
}

// remoteRound returns the time for a grant, how many there are in a second, the median and the 99th percentile of latency, and how many
// scripts the server has run for each.
func (b *bench) remoteRound(address string, clients int, open func() (func(context.Context) error, func() error, error)) ([]float64, error) {
	admin := redis.NewClient(&redis.Options{Addr: address})
	defer admin.Close() //nolint:errcheck // nothing is lost
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	takes := make([]func(context.Context) error, clients)
	for i := range takes {
		take, stop, err := open()
		if err != nil {
			return nil, err
		}
		defer stop() //nolint:errcheck // nothing is lost
		if err := take(ctx); err != nil {
			return nil, err
		}
		takes[i] = take
	}
	if err := admin.ConfigResetStat(ctx).Err(); err != nil {
		return nil, err
	}
	lasts := 2 * time.Second
	if b.quick {
		lasts /= 4
	}
	var mu sync.Mutex
	var all []time.Duration
	var failed error
	var wg sync.WaitGroup
	start := time.Now()
	for _, take := range takes {
		wg.Go(func() {
			var took []time.Duration
			for before := time.Now(); before.Sub(start) < lasts; {
				err := take(ctx)
				after := time.Now()
				if err != nil {
					mu.Lock()
					failed = err
					mu.Unlock()
					return
				}
				took = append(took, after.Sub(before))
				before = after
			}
			mu.Lock()
			all = append(all, took...)
			mu.Unlock()
		})
	}
	wg.Wait()
	elapsed := time.Since(start).Seconds()
	if failed != nil {
		return nil, failed
	}
	scripts, err := scriptsRun(ctx, admin)
	if err != nil {
		return nil, err
	}
	slices.Sort(all)
	n := float64(len(all))
	return []float64{elapsed / n, n / elapsed, all[len(all)/2].Seconds(), all[len(all)*99/100].Seconds(), float64(scripts) / n}, nil
}

// scriptsRun returns how many scripts a server has run.
func scriptsRun(ctx context.Context, admin *redis.Client) (n int, err error) {
	info, err := admin.Info(ctx, "commandstats").Result()
	for line := range strings.Lines(info) {
		if rest, ok := strings.CutPrefix(line, "cmdstat_eval"); ok {
			_, calls, _ := strings.Cut(rest, "calls=")
			var k int
			if _, err := fmt.Sscanf(calls, "%d", &k); err != nil {
				return 0, err
			}
			n += k
		}
	}
	return n, err
}
