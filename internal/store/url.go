package store

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/throttle-cli/throttle/internal/nearest"
)

// A Place is what a URL says of a store.
type Place struct {
	Scheme string // one of Schemes
	URL    string // as it was given, but for what follows
	Path   string // that of a file: URL; empty for the usual folder
	// What the URL of a server says for us: after how long the place of a client that is not heard of is given back, and how long the
	// state is kept that nobody uses; 0 where it says nothing.
	Heartbeat, Keep time.Duration
}

// Remote reports whether other hosts may use the store.
func (p Place) Remote() bool { return p.Scheme != "file" && p.Scheme != "memory" }

// Schemes returns those that there are.
func Schemes() []string {
	return []string{"file", "memory", "redis", "rediss", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster", "dynamodb"}
}

// Parse looks at the URL of a store, or "file", or "memory". What it says of a server is for the one who opens it. An error does not
// quote the URL, as there may be a password in it.
func Parse(text string) (Place, error) {
	scheme, rest, ok := strings.Cut(text, ":")
	if !ok && (text == "file" || text == "memory") {
		return Place{Scheme: text, URL: text + ":"}, nil
	}
	const examples = "such as redis://host:6379/0, dynamodb://TABLE?region=eu-west-1, file:///folder or memory:"
	switch {
	case !ok || scheme == "":
		return Place{}, fmt.Errorf("it is a URL %s", examples)
	case !slices.Contains(Schemes(), scheme):
		hint := ":"
		if similar := nearest.Of(scheme, Schemes()); similar != "" {
			hint = fmt.Sprintf(": did you mean %q?", similar)
		}
		return Place{}, fmt.Errorf("there is no store %q%s it is a URL %s", scheme, hint, examples)
	}
	p := Place{Scheme: scheme, URL: text}
	switch scheme {
	case "memory":
		if strings.Trim(rest, "/") != "" {
			return Place{}, fmt.Errorf("nothing follows memory: and there is %q", rest)
		}
	case "file":
		u, err := url.Parse(text)
		switch {
		case err != nil:
			return Place{}, fmt.Errorf("%q is no URL of a folder, such as file:///folder", text)
		case u.Host != "" && u.Host != "localhost":
			return Place{}, fmt.Errorf("%q names a host: a folder of this one has three slashes, as in file:///folder", text)
		case u.RawQuery != "" || u.Fragment != "":
			return Place{}, fmt.Errorf("%q: a folder has no options", text)
		}
		if p.Path = u.Path; u.Opaque != "" {
			if p.Path, err = url.PathUnescape(u.Opaque); err != nil {
				return Place{}, fmt.Errorf("%q is no URL of a folder, such as file:///folder", text)
			}
		}
		if p.Path == "/" {
			p.Path = ""
		}
	default:
		return p, p.ours()
	}
	return p, nil
}

// ours takes what is for us out of the URL of a server.
func (p *Place) ours() error {
	head, query, ok := strings.Cut(p.URL, "?")
	if !ok {
		return nil
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("what follows the ? in its URL is not of the form option=value&option=value")
	}
	for _, o := range []struct {
		name  string
		to    *time.Duration
		least time.Duration
	}{{"heartbeat", &p.Heartbeat, heartbeatLeast}, {"keep", &p.Keep, keepLeast}} {
		text := values.Get(o.name)
		if text == "" {
			continue
		}
		d, err := time.ParseDuration(text)
		if err != nil || d < o.least {
			return fmt.Errorf("%s=%s: it is a duration of %v or more, such as %v", o.name, text, o.least, 10*o.least)
		}
		*o.to = d
		values.Del(o.name)
	}
	if p.URL = head; len(values) > 0 {
		p.URL += "?" + values.Encode()
	}
	return nil
}

const (
	heartbeatLeast = time.Second
	keepLeast      = time.Minute
)
