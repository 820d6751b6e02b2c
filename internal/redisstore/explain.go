package redisstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// away are how errors of a server begin that may be another one, or well again, later. What is refused was not done.
func away() []string {
	return []string{
		"LOADING", "READONLY", "CLUSTERDOWN", "MASTERDOWN", "TRYAGAIN", "BUSY", "OOM", "MISCONF", "NOREPLICAS", "UNBLOCKED",
		"ERR max number of clients reached",
	}
}

// named returns an error of the server as a *ServerError that says what is wrong.
func (v *Server) named(err error, o Options) error {
	var network net.Error
	if err == nil {
		return nil
	}
	text := err.Error()
	if refused, ok := errors.AsType[redis.Error](err); ok && !errors.Is(err, redis.Nil) { // without what the client was about
		text = refused.Error()
	}
	text = ofScript(text)
	begins := func(prefix string) bool { return strings.HasPrefix(text, prefix) }
	switch {
	case begins("WRONGTYPE"):
		err = ErrForeign
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		err = &awayError{&slowError{orElse(o.Timeout, defaultTimeout)}}
	case slices.ContainsFunc(away(), begins), strings.Contains(text, "connection pool"):
		err = &awayError{errors.New(text)}
	case begins("MOVED"), begins("ASK"), begins("CROSSSLOT"):
		err = fmt.Errorf("it is a node of a cluster: the URL of one is %s", schemes()[v.place.other(cluster)])
	case strings.Contains(text, "cluster support disabled"), v.place.cluster() && strings.Contains(text, "unknown command"):
		err = fmt.Errorf("it is no cluster: the URL of one server is %s", schemes()[v.place.other(single)])
	case strings.Contains(text, "DB index is out of range"), strings.Contains(text, "invalid DB index"):
		err = fmt.Errorf("there is no database %d", v.place.db)
	case begins("WRONGPASS"), begins("NOAUTH"), strings.Contains(text, "AUTH") && begins("ERR"), strings.Contains(text, "invalid password"):
		err = errors.New(text + v.place.passwordFrom())
	case strings.Contains(text, "sentinels specified in configuration are unreachable"):
		if errors.Is(err, redis.Nil) {
			err = fmt.Errorf("the sentinels know of no master %q", v.place.master)
		} else {
			err = &awayError{errors.New("no sentinel answers: " + strings.ReplaceAll(text[strings.Index(text, "unreachable")+len("unreachable: "):], "\n", "; "))}
		}
	case v.place.sentinel() || !strings.Contains(text, "unknown command"):
	case strings.Contains(strings.ToLower(text), "'eval"), strings.Contains(strings.ToLower(text), "`eval"):
		err = errors.New("it runs no scripts (is it a sentinel, or is EVALSHA disabled there?): " + text)
	}
	return &ServerError{v.String(), err}
}

// ofScript returns the error of a command that a script has called as the server would have said it of the command alone, as Redis does from
// 7 on. Before, it says "ERR Error running script (call to f_1): @user_script:9: @user_script: 9: -READONLY You can't write".
func ofScript(text string) string {
	if strings.HasPrefix(text, "ERR Error running script") {
		if _, of, ok := strings.Cut(text, ": -"); ok {
			return of
		}
	}
	return text
}

// A slowError says that there was no answer in time.
type slowError struct{ within time.Duration }

func (e *slowError) Error() string { return "no answer within " + e.within.String() }

// other returns a scheme for another kind of place, with TLS if this one has it.
func (p *place) other(scheme string) string {
	if p.tls() {
		return strings.Replace(scheme, "redis", "rediss", 1)
	}
	return scheme
}

// passwordFrom says where the password is from, where that is not seen in the URL.
func (p *place) passwordFrom() string {
	if p.from != "" {
		return " (the password is that of " + p.from + ")"
	}
	return ""
}

// A PermissionError says what the user that the server knows us as may not do.
type PermissionError struct {
	Commands []string // HSET, in order
	Keys     bool     // the user may not touch the keys at all
	err      error    // of the server
}

func (e *PermissionError) Error() string {
	switch {
	case e.Keys:
		return "the user has no permission for keys throttle:*"
	case len(e.Commands) > 0:
		return "the user has no permission for " + strings.Join(e.Commands, ", ")
	}
	return e.err.Error()
}

func (e *PermissionError) Unwrap() error { return e.err }

// explain is named, and asks the server what the user may not do if that is what is wrong: of a script it does not say.
func (v *Server) explain(ctx context.Context, err error, keys []string, o Options) error {
	if err == nil || !permission(err) {
		return v.named(err, o)
	}
	denied, keysDenied := v.denied(ctx, keys[0])
	if name := commandIn(err.Error()); len(denied) == 0 && !keysDenied && name != "" {
		denied = []string{name}
	}
	return &ServerError{v.String(), &PermissionError{Commands: denied, Keys: keysDenied, err: err}}
}

// commandIn returns the command that the server does not permit us, "" if it does not say: "NOPERM User a has no permissions to run the
// 'cluster|slots' command".
func commandIn(text string) string {
	_, rest, ok := strings.Cut(text, "permissions to run the '")
	name, _, end := strings.Cut(rest, "'")
	if !ok || !end {
		return ""
	}
	return strings.ToUpper(name)
}

func permission(err error) bool {
	text := err.Error()
	return strings.Contains(text, "NOPERM") || strings.Contains(text, "can't run this command") || strings.Contains(text, "can't access")
}

// probes are the commands that are needed, each so that it does nothing. The script is the first.
func probes(key string) [][]any {
	return [][]any{
		{"EVALSHA", strings.Repeat("0", 40), 1, key},
		{"EVAL", "return 0", 1, key},
		{"TIME"},
		{"HMGET", key, "-"},
		{"HGET", key, "-"},
		{"HGETALL", key},
		{"HKEYS", key},
		{"HSET", key, "-", "-", "-"}, // a value is missing: it is refused, after permissions
		{"HDEL", key, "-"},
		{"ZADD", key, "XX", 0, "-"},
		{"ZREM", key, "-"},
		{"ZRANGE", key, 0, 0},
		{"ZRANK", key, "-"},
		{"ZSCORE", key, "-"},
		{"ZRANGEBYSCORE", key, 0, 0},
		{"DEL", key},
		{"EXPIRE", key, 1},
		{"PERSIST", key},
		{"TTL", key},
	}
}

// denied returns the commands that are not there for us, or if that is it the keys. It does nothing to the state: the key that it is
// tried on is next to it.
func (v *Server) denied(ctx context.Context, state string) (commands []string, keys bool) {
	key := strings.TrimSuffix(state, "state") + "check"
	var cmds []*redis.Cmd
	all := 0
	_, _ = v.client.Pipelined(ctx, func(p redis.Pipeliner) error { // each has its own error
		for _, args := range probes(key) {
			cmds = append(cmds, p.Do(ctx, args...))
		}
		return nil
	})
	for _, cmd := range cmds {
		err := cmd.Err()
		if err == nil {
			continue
		}
		text := strings.ToLower(err.Error())
		switch {
		case strings.Contains(text, "no permissions to access") && strings.Contains(text, "key"), strings.Contains(text, "can't access"):
			all++
		case strings.HasPrefix(text, "noperm"), strings.Contains(text, "unknown command"):
			name, _ := cmd.Args()[0].(string)
			name = orDefault(commandIn(err.Error()), name) // it may be one that connects: CLUSTER|SLOTS
			if !slices.Contains(commands, name) {
				commands = append(commands, name)
			}
		}
	}
	return commands, all > 0 && len(commands) == 0
}
