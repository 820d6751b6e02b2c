package redisstore

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func noEnv(string) string { return "" }

func TestURLs(t *testing.T) {
	for _, c := range []struct {
		address, name string
		want          place
	}{
		{"redis://h", "redis://h:6379/0", place{hosts: []string{"h:6379"}}},
		{"redis://h/", "redis://h:6379/0", place{hosts: []string{"h:6379"}}},
		{"redis://:p%40%2Fs@h:1/2", "redis://h:1/2", place{hosts: []string{"h:1"}, password: "p@/s", db: 2}},
		{"redis://u:p:q@h?db=3", "redis://h:6379/3", place{hosts: []string{"h:6379"}, user: "u", password: "p:q", db: 3}},
		{"redis://u@h", "redis://h:6379/0", place{hosts: []string{"h:6379"}, user: "u"}},
		{"rediss://[::1]:7/1?skip_verify=true", "rediss://[::1]:7/1", place{hosts: []string{"[::1]:7"}, db: 1}},
		{"redis+cluster://u:p@a:1,b,c:3/0", "redis+cluster://a:1,b:6379,c:3", place{hosts: []string{"a:1", "b:6379", "c:3"}, user: "u", password: "p"}},
		{"rediss+sentinel://a:1,b/my%20master/4?sentinel_username=s", "rediss+sentinel://a:1,b:26379/my%20master/4", place{
			hosts: []string{"a:1", "b:26379"}, master: "my master", db: 4,
		}},
	} {
		p, err := parseURL(c.address)
		if err != nil {
			t.Errorf("%q: %v", c.address, err)
			continue
		}
		if !slices.Equal(p.hosts, c.want.hosts) || p.master != c.want.master || p.db != c.want.db || p.user != c.want.user ||
			p.password != c.want.password || p.String() != c.name {
			t.Errorf("%q: %+v, named %v", c.address, p, p)
		}
	}
}

// Each error names what is wrong.
func TestBadURLs(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]string{
		"":                                 "scheme",
		"redis:h":                          "scheme",
		"http://h":                         "scheme",
		"redis+tls://h":                    "scheme",
		"redis://":                         "no host",
		"redis://:6379":                    "no host",
		"redis://h:port":                   "no host with a port",
		"redis://h:0":                      "no host with a port",
		"redis://h:70000":                  "no host with a port",
		"redis://h:1:2":                    "no host with a port",
		"redis://h:":                       "no host with a port",
		"redis://a,b":                      "redis+cluster://",
		"redis://h/x":                      `database "x"`,
		"redis://h/-1":                     `database "-1"`,
		"redis://h/1/2":                    `database "1/2"`,
		"redis://h?db=x":                   `database "x"`,
		"redis://h?timeout=3s":             `no option "timeout"`,
		"redis://h?skip_verify=true":       `no option "skip_verify"`,
		"rediss://h?skip_verify=perhaps":   `skip_verify="perhaps"`,
		"rediss://h?cert_file=x":           "only one",
		"rediss://h?ca_file=/none/ca":      "/none/ca",
		"redis://h?pool_size=0":            `pool_size="0"`,
		"redis://h?client_name=a;b":        "?NAME=VALUE",
		"redis://h?db=1&db=2":              "more than once",
		"redis+cluster://h/1":              `database "1"`,
		"redis+cluster://h?db=1":           `no option "db"`,
		"redis+sentinel://h":               "name of the master",
		"redis+sentinel://h/m/x":           `database "x"`,
		"redis://h?password_file=/none/p":  "/none/p",
		"redis://h?password_file=" + empty: "is empty",
		"redis://:s3cr@h?password_file=/p": "which one",
		"redis://:s3cr/et@h":               "%2F",
		"redis://:s3cr#et@h":               "%2F",
		"redis://u:1?s3cr@h":               "%2F",
		"redis://u:s3cr%zz@h":              "%25",
		"redis://u:s3cr@h:port":            `"h:port"`,
		"redis://u:s3cr@h:70000":           `port "70000"`,
		"redis://u:s3cr@h:1:2":             `"h:1:2"`,
		"redis://u:s3cr":                   "no host with a port",
		"redis://u:s3cr/0":                 "no host with a port",
	} {
		_, err := Connect(address, Options{Getenv: noEnv})
		var bad *URLError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cr") {
			t.Errorf("%q: %v; want %q", address, err, want)
		}
	}
}

func FuzzURL(f *testing.F) {
	for _, address := range []string{"redis://u:s3cr@h:1/2?db=1", "redis+sentinel://:s3cr@a,b:2/m/0", "redis+cluster://a:1,[::1]:2"} {
		f.Add(address)
	}
	f.Fuzz(func(t *testing.T, address string) {
		p, err := parseURL(address)
		if err != nil {
			return
		}
		again, err := parseURL(p.String())
		if err != nil || again.String() != p.String() || !slices.Equal(again.hosts, p.hosts) || again.db != p.db || again.master != p.master {
			t.Errorf("%q is named %q: %+v, %v", address, p, again, err)
		}
	})
}

func TestKeysAndTheirNames(t *testing.T) {
	for _, key := range []string{"", "k", "github:alice", "a{b}c", "%7B", "}:state", "ü\x00", "*"} {
		name := keysOf(key)[0]
		if got, ok := keyOf(name); !ok || got != key {
			t.Errorf("%q is the name of %q, %v", name, got, ok)
		}
	}
	for _, name := range []string{"", "throttle:{.a}:queue", "throttle:{.a%zz}:state", "throttle:{.a%61}:state", "throttle:{.", "throttle:{.a}b}:state"} {
		if key, ok := keyOf(name); ok {
			t.Errorf("%q is the name of %q", name, key)
		}
	}
}

func FuzzKeyName(f *testing.F) {
	f.Add("throttle:{.a%7B}:state")
	f.Fuzz(func(t *testing.T, name string) {
		if key, ok := keyOf(name); ok && keysOf(key)[0] != name {
			t.Errorf("%q is not the name of %q", name, key)
		}
	})
}

// A password is where redis-cli looks for it, too, or in a file.
func TestPasswordFromElsewhere(t *testing.T) {
	s := newServer(t, "--requirepass", "right")
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("right\nnot this\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := func(password string) func(string) string {
		return func(name string) string {
			if name == "REDISCLI_AUTH" {
				return password
			}
			return ""
		}
	}
	for _, c := range []struct {
		address string
		getenv  func(string) string
		ok      bool
	}{
		{s.url(), env("right"), true},
		{s.url(), env("wrong"), false},
		{s.url(), noEnv, false},
		{s.url() + "?password_file=" + file, env("wrong"), true},
		{strings.Replace(s.url(), "://", "://:right@", 1), env("wrong"), true},
		{strings.Replace(s.url(), "://", "://:wrong@", 1), env("right"), false},
	} {
		keys, err := Keys(t.Context(), c.address, Options{Getenv: c.getenv})
		if c.ok && (err != nil || len(keys) != 0) || !c.ok && (err == nil || IsAway(err) || strings.Contains(err.Error(), "wrong@")) {
			t.Errorf("%v: %v", c, err)
		}
	}
}
