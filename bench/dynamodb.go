//go:build unix

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/throttle-cli/throttle/internal/dynamostore"
	"github.com/throttle-cli/throttle/internal/dynamostore/dynamosdk"
	"github.com/throttle-cli/throttle/pacer"
)

// dynamoDB measures what a grant of a limit costs that is in a table of DynamoDB.
func dynamoDB() section {
	return section{
		name:  "dynamodb",
		title: "A rate that is in a table of DynamoDB",
		about: "Grants of one key by clients that ask all the time for 2 s, with a limit for which nobody waits, and with 50/s. The table is that of\n" +
			"`dynalite`, on the same cores, which answers in less than a millisecond, and unlike the service does not send the item when somebody else\n" +
			"has written: that is a read. The numbers of requests are what counts here.",
		measure: func(b *bench) (rows []row, err error) {
			program := dynalite()
			if program == "" {
				fmt.Fprintln(os.Stderr, "dynalite is not installed, its rows are left out (make servers)")
				return nil, nil
			}
			address, stop, err := startDynalite(program)
			if err != nil {
				return nil, err
			}
			defer stop()
			for i, c := range []struct {
				clients int
				limit   pacer.Limit
				what    string
				most    float64 // writes a grant
			}{
				{1, pacer.Per(1e6, time.Second), "1 client, 1,000,000/s", 1},
				{8, pacer.Per(1e6, time.Second), "8 clients, 1,000,000/s", 0},
				{1, pacer.Per(50, time.Second), "1 client, 50/s", 1},
				{8, pacer.Per(50, time.Second), "8 clients, 50/s", 0},
			} {
				all, err := takeTurns(b.rounds, func() ([]float64, error) {
					return b.tableRound(address, fmt.Sprintf("bench-%d-%d", i, time.Now().UnixNano()), c.clients, c.limit)
				})
				if err != nil {
					return nil, err
				}
				writes := row{what: "writes for a grant, " + c.what, unit: unit{"%.2f", 1, ""}, ours: all[0][0]}
				if c.most > 0 {
					writes.goal, writes.most = absolute, c.most
				}
				rows = append(rows, writes,
					row{what: "reads for a grant, " + c.what, unit: unit{"%.2f", 1, ""}, ours: all[0][1]},
					row{what: "grants, " + c.what, unit: perSecond(), ours: all[0][2]},
					row{what: "99th percentile of latency, " + c.what, unit: unit{"%.1f", 1e-3, " ms"}, ours: all[0][3]})
			}
			return rows, nil
		},
	}
}

// dynalite returns the path of the program, "" if there is none.
func dynalite() string {
	if path, err := filepath.Abs(filepath.Join("node_modules", ".bin", "dynalite")); err == nil {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	path, _ := exec.LookPath("dynalite")
	return path
}

// startDynalite starts a server with a table, and returns its URL.
func startDynalite(program string) (address string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	host := l.Addr().String()
	_ = l.Close()
	_, port, _ := net.SplitHostPort(host)
	cmd := exec.Command(program, "--host", "127.0.0.1", "--port", port, "--createTableMs", "1")
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		if err := os.Setenv(name, "bench"); err != nil {
			stop()
			return "", nil, err
		}
	}
	address = "dynamodb://throttle?region=eu-west-1&endpoint=http://" + host
	for start := time.Now(); ; <-time.After(50 * time.Millisecond) {
		v, err := dynamostore.Connect(context.Background(), address, dynamosdk.Dial, 0)
		if err == nil {
			err = v.Init(context.Background())
			_ = v.Close()
		}
		if err == nil {
			return address, stop, nil
		}
		if time.Since(start) > 10*time.Second {
			stop()
			return "", nil, err
		}
	}
}

// A counted client counts requests.
type counted struct {
	dynamostore.Client
	writes, reads *atomic.Int64
}

func (c counted) Do(ctx context.Context, r dynamostore.Request) (dynamostore.Response, error) {
	if r.Op == dynamostore.OpUpdate {
		c.writes.Add(1)
	} else {
		c.reads.Add(1)
	}
	return c.Client.Do(ctx, r)
}

// tableRound returns how many writes and reads there are for each grant, how many grants in a second, and the 99th percentile of latency.
func (b *bench) tableRound(address, key string, clients int, limit pacer.Limit) ([]float64, error) {
	var writes, reads atomic.Int64
	dial := func(ctx context.Context, at dynamostore.Address) (dynamostore.Client, error) {
		c, err := dynamosdk.Dial(ctx, at)
		return counted{c, &writes, &reads}, err
	}
	stores := make([]*dynamostore.Store, clients)
	for i := range stores {
		s, err := dynamostore.Open(context.Background(), address, key, dynamostore.Options{Dial: dial, Limits: pacer.Limits{limit}})
		if err == nil {
			err = s.Wait(context.Background())
		}
		if err != nil {
			return nil, err
		}
		defer s.Close() //nolint:errcheck // nothing is lost
		stores[i] = s
	}
	writes.Store(0)
	reads.Store(0)
	lasts := 2 * time.Second
	if b.quick {
		lasts /= 4
	}
	var mu sync.Mutex
	var all []time.Duration
	var failed error
	var wg sync.WaitGroup
	start := time.Now()
	for _, s := range stores {
		wg.Go(func() {
			for before := time.Now(); before.Sub(start) < lasts; {
				err := s.Wait(context.Background())
				after := time.Now()
				mu.Lock()
				if all = append(all, after.Sub(before)); err != nil {
					failed = err
				}
				mu.Unlock()
				if before = after; err != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(start).Seconds()
	slices.Sort(all)
	n := float64(len(all))
	return []float64{float64(writes.Load()) / n, float64(reads.Load()) / n, n / elapsed, all[len(all)*99/100].Seconds()}, failed
}
