package redisstore

import (
	"context"
	"crypto/rand"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/throttle-cli/throttle/internal/storecheck"
	"github.com/throttle-cli/throttle/pacer"
)

// checkCalls is how many calls Check takes the time of.
const checkCalls = 11

// Check looks whether a store can be used, and says what is wrong. It makes a grant of a key of its own, and deletes it. The error is
// that the URL is none, or the cause of ctx: what is wrong with the server is in the Report.
func Check(ctx context.Context, address string, o Options) (storecheck.Report, error) {
	v, err := Connect(address, o)
	if err != nil {
		return storecheck.Report{}, err
	}
	defer v.Close() //nolint:errcheck // nothing is lost
	return v.Check(ctx, o)
}

// Check is the function of that name.
func (v *Server) Check(ctx context.Context, o Options) (storecheck.Report, error) {
	r := storecheck.Report{Store: v.String()}
	err := v.measure(ctx, &r, o)
	if err == nil {
		v.describe(ctx, &r)
		err = v.try(ctx, &r, o)
	}
	if cause := context.Cause(ctx); cause != nil {
		return r, cause
	}
	if err != nil {
		r.Add(true, reason(err), advice(err))
	}
	return r, nil
}

// reason is an error without the name of the server.
func reason(err error) string {
	if server, ok := errors.AsType[*ServerError](err); ok {
		return server.Err.Error()
	}
	return err.Error()
}

// advice says what to do about an error.
func advice(err error) string {
	denied, ok := errors.AsType[*PermissionError](err)
	text := reason(err)
	switch {
	case ok && denied.Keys:
		return "ACL SETUSER NAME ~throttle:*"
	case ok:
		return "ACL SETUSER NAME +" + strings.ToLower(strings.Join(denied.Commands, " +"))
	case strings.HasPrefix(text, "NOAUTH"):
		return "give a password: in the URL, a file (?password_file=PATH) or $" + passwordEnv
	case strings.HasPrefix(text, "WRONGPASS"):
		return "look at the user and the password"
	case strings.HasPrefix(text, "OOM"):
		return "give it memory: maxmemory"
	case strings.HasPrefix(text, "READONLY"):
		return "name the master, or use sentinels: " + schemes()[sentinel]
	case IsAway(err):
		return "is it running, and can it be reached from here?"
	}
	return ""
}

// measure takes the time of calls, and compares the clocks.
func (v *Server) measure(ctx context.Context, r *storecheck.Report, o Options) error {
	timeOf := func(ctx context.Context) (time.Time, error) {
		bound, stop := context.WithTimeout(ctx, orElse(o.Timeout, defaultTimeout))
		defer stop()
		return v.client.Time(bound).Result()
	}
	if _, err := timeOf(ctx); err != nil { // and connects
		return v.explain(ctx, err, keysOf(""), o)
	}
	took := make([]time.Duration, checkCalls)
	least, most := time.Duration(math.MinInt64), time.Duration(math.MaxInt64)
	for i := range took {
		before := time.Now()
		at, err := timeOf(ctx)
		after := time.Now()
		if err != nil {
			return v.explain(ctx, err, keysOf(""), o)
		}
		took[i] = after.Sub(before)
		least, most = max(least, before.Sub(at)-time.Microsecond), min(most, after.Sub(at)) // the server cuts it to us
	}
	slices.Sort(took)
	r.RoundTrip, r.Median = took[0], took[len(took)/2]
	r.AheadLeast, r.AheadMost = min(least, most), max(least, most)
	return nil
}

// describe finds out what the server is, and how it is set up, as far as we may know.
func (v *Server) describe(ctx context.Context, r *storecheck.Report) {
	var mu sync.Mutex
	look := func(ctx context.Context, node *redis.Client) error {
		text, err := node.Info(ctx).Result()
		if err != nil {
			return err
		}
		info := parseInfo(text)
		save, err := node.ConfigGet(ctx, "save").Result()
		if err == nil {
			info["save"], info["save known"] = save["save"], "1"
		}
		mu.Lock()
		defer mu.Unlock()
		r.Server = info.server()
		for _, p := range info.problems(v.place) {
			if !slices.Contains(r.Problems, p) { // of another node
				r.Problems = append(r.Problems, p)
			}
		}
		return nil
	}
	var err error
	switch client := v.client.(type) {
	case *redis.ClusterClient:
		err = client.ForEachMaster(ctx, look)
	case *redis.Client:
		err = look(ctx, client)
	}
	if err != nil && context.Cause(ctx) == nil {
		r.Add(false, "its version and its settings can't be looked at: "+err.Error(), "ACL SETUSER NAME +info +config|get, for this check only")
	}
}

// An info is what INFO says.
type info map[string]string

func parseInfo(text string) info {
	i := info{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok && !strings.HasPrefix(name, "#") {
			i[name] = value
		} else if section, ok := strings.CutPrefix(strings.TrimSpace(line), "# "); ok {
			i["# "+section] = section
		}
	}
	return i
}

// server names the kind and the version of the server.
func (i info) server() string {
	kind, version := "Redis", i["redis_version"]
	switch {
	case i["server_name"] != "":
		kind = strings.ToUpper(i["server_name"][:1]) + i["server_name"][1:]
		version = orDefault(i[i["server_name"]+"_version"], version)
	case i["dragonfly_version"] != "":
		kind, version = "Dragonfly", i["dragonfly_version"]
	case i["# KeyDB"] != "":
		kind = "KeyDB"
	}
	return kind + " " + orDefault(version, "of unknown version") + ", " + orDefault(i["redis_mode"], "mode unknown")
}

func (i info) problems(p *place) []storecheck.Problem {
	var r storecheck.Report
	if i["redis_mode"] == "sentinel" {
		r.Add(true, "it is a sentinel", "the URL of what it watches is "+schemes()[p.other(sentinel)])
	}
	if i["cluster_enabled"] == "1" && !p.cluster() {
		r.Add(true, "it is a node of a cluster", "the URL of one is "+schemes()[p.other(cluster)])
	}
	if i["role"] == "slave" {
		r.Add(true, "it is a replica: nothing can be written", "name the master, or use sentinels: "+schemes()[p.other(sentinel)])
	}
	if policy := i["maxmemory_policy"]; policy != "" && policy != "noeviction" && i["maxmemory"] != "0" {
		r.Add(false, "when its memory is full it forgets keys (maxmemory-policy "+policy+"): a limit that is lost may be exceeded",
			"CONFIG SET maxmemory-policy noeviction, or a server of its own")
	}
	if i["aof_enabled"] == "0" && i["save known"] != "" {
		if i["save"] == "" {
			r.Add(false, "nothing is on disk: what was granted is forgotten when it is restarted", "CONFIG SET appendonly yes")
		} else {
			r.Add(false, "there are snapshots only (save "+i["save"]+"): what was granted since the last one is forgotten when it is restarted",
				"CONFIG SET appendonly yes")
		}
	}
	if i["loading"] == "1" {
		r.Add(false, "it is loading its data", "wait")
	}
	return r.Problems
}

// try finds out what is not permitted, makes a grant of a key of its own and deletes it.
func (v *Server) try(ctx context.Context, r *storecheck.Report, o Options) error {
	key := "check " + rand.Text()
	names := keysOf(key)
	bound, stop := context.WithTimeout(ctx, orElse(o.Timeout, defaultTimeout))
	defer stop()
	if denied, keys := v.denied(bound, names[0]); len(denied) > 0 || keys {
		return &PermissionError{Commands: denied, Keys: keys}
	}
	if slices.ContainsFunc(r.Problems, func(p storecheck.Problem) bool { return p.Serious }) {
		return nil // it can't do
	}
	s, err := v.Open(key, Options{Limits: pacer.Limits{pacer.Every(time.Nanosecond)}, Timeout: o.Timeout, Keep: time.Minute})
	if err != nil {
		return err
	}
	defer s.Close() //nolint:errcheck // it has no places
	if err := s.WaitN(ctx, 1); err != nil {
		return err
	}
	if err := v.client.Del(bound, names...).Err(); err != nil {
		return v.named(err, o)
	}
	if scan := v.client.Do(bound, "SCAN", "0", "MATCH", stateOf("none"), "COUNT", "1").Err(); scan != nil && permission(scan) {
		r.Add(false, "the user has no permission for SCAN: `throttle status` can't list the keys", "ACL SETUSER NAME +scan")
	}
	return nil
}
