// Package pacehttp paces an HTTP client: each host has a pacer of its own, and what the host says when it is asked too much
// holds for all requests to it.
package pacehttp

import (
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

// A Transport is a http.RoundTripper that waits for a grant before each request. When a host answers 429 Too Many Requests, or
// 503 Service Unavailable with a Retry-After, it has a cooldown as long as it asks for, within bounds: nobody has a grant
// for it before that is over. The answer itself is returned as it is: whether to try again is up to the caller. Each try
// takes a grant.
//
// Its methods may be called by any number of goroutines.
type Transport struct {
	// Base makes the requests; nil is http.DefaultTransport.
	Base http.RoundTripper
	// Pacers has the pacers. One whose Default is one limit gives each host that limit. Without it, and without Pacer, each request
	// is an error.
	Pacers *pacer.Registry
	// Name returns the name of the pacer for a request; nil is the host in lower case, with a port that is not the usual one.
	Name func(*http.Request) string
	// Pacer, when set, returns the pacer for a request, in place of Pacers and Name. With limits of a file it calls the Get of
	// limitfile.Pacers. It is called again for a request that the host has refused, as the pacer may be another one by then.
	Pacer func(*http.Request) (*pacer.Pacer, error)
	// Feedback says how long a cooldown is where the host does not say, how long at the most, and whether the rate is cut, too.
	Feedback pacer.Feedback
}

var errNoPacers = errors.New("pacehttp: a Transport without Pacers and Pacer: New makes one with limits")

var _ http.RoundTripper = (*Transport)(nil)

// New returns a Transport that gives each host the limits. If they are not valid, as pacer.Limits.Validate says, each request is that
// error.
func New(limits ...pacer.Limit) *Transport {
	return &Transport{Pacers: pacer.NewRegistry(pacer.RegistryOptions{Default: limits})}
}

// RoundTrip implements http.RoundTripper. An error while it waits is the cause of the context of the request, or one of the
// pacer: the request was not made then.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	p, err := t.pacer(req)
	var grant *pacer.Reservation
	if err == nil {
		grant, err = p.Grant(req.Context(), 1)
	}
	if err != nil {
		if req.Body != nil {
			_ = req.Body.Close() // as a RoundTripper must
		}
		return nil, err
	}
	resp, err := t.base().RoundTrip(req)
	if err != nil {
		return nil, err
	}
	after, said := retryAfter(resp.Header.Get("Retry-After"), time.Now())
	if resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable && said {
		f := t.Feedback
		f.After = after
		grant.Throttled(f)
		if now, err := t.pacer(req); err == nil && now != p { // the request took so long that p was forgotten meanwhile
			now.Throttled(grant.Slot(), f)
		}
	}
	return resp, nil
}

func (t *Transport) base() http.RoundTripper {
	if t.Base == nil {
		return http.DefaultTransport
	}
	return t.Base
}

func (t *Transport) pacer(req *http.Request) (*pacer.Pacer, error) {
	if t.Pacer != nil {
		return t.Pacer(req)
	}
	if t.Pacers == nil {
		return nil, errNoPacers
	}
	return t.Pacers.Get(t.name(req))
}

func (t *Transport) name(req *http.Request) string {
	if t.Name != nil {
		return t.Name(req)
	}
	return hostOf(req)
}

// CloseIdleConnections does what that of http.Client needs. Without a Base it closes those of http.DefaultTransport, which all share who
// use that, as a http.Client without a Transport does.
func (t *Transport) CloseIdleConnections() {
	if c, ok := t.base().(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// retryAfter returns how long a Retry-After asks to wait, in seconds or until a date (RFC 9110, section 10.2.3).
func retryAfter(value string, now time.Time) (d time.Duration, said bool) {
	if n, err := strconv.ParseInt(value, 10, 64); err == nil && n >= 0 {
		return time.Duration(min(n, int64(365*24*time.Hour/time.Second))) * time.Second, true
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(at.Sub(now), 0), true
	}
	return 0, false
}

// hostOf returns the host of a request in lower case, with its port unless that is the usual one of the scheme.
func hostOf(req *http.Request) string {
	host, port := strings.ToLower(req.URL.Hostname()), req.URL.Port()
	if port == "" || port == "80" && req.URL.Scheme == "http" || port == "443" && req.URL.Scheme == "https" {
		return host
	}
	return net.JoinHostPort(host, port)
}
