// Package limited is a server that lets so many requests a second through, and answers 429 to those above: what the
// remote is in tests and benchmarks.
package limited

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// A Server counts the requests that it lets through and those that it does not. The zero value lets none through.
type Server struct {
	// Rate is how many requests a second are let through, in the long run; after idle time, Burst at once.
	Rate, Burst float64
	// RetryAfter is what it asks those to wait that it does not let through, in seconds; 0 is nothing.
	RetryAfter int
	// EC2 is whether it answers as Amazon EC2 does: DescribeRegions, or RequestLimitExceeded.
	EC2 bool

	mu     sync.Mutex
	tokens float64
	last   time.Time
	begun  time.Time
	counts []Count
}

// A Count is what has come in one second.
type Count struct{ OK, Throttled int }

// Counts returns what has come in each second since the first request.
func (s *Server) Counts() []Count {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Count(nil), s.counts...)
}

// SetRate changes the rate.
func (s *Server) SetRate(r float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Rate = r
}

// take reports whether a request that comes now is let through.
func (s *Server) take(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.begun.IsZero() {
		s.begun, s.last, s.tokens = now, now, s.Burst
	}
	s.tokens = min(s.Burst, s.tokens+now.Sub(s.last).Seconds()*s.Rate)
	s.last = now
	second := int(now.Sub(s.begun).Seconds())
	for len(s.counts) <= second {
		s.counts = append(s.counts, Count{})
	}
	if s.tokens < 1 {
		s.counts[second].Throttled++
		return false
	}
	s.tokens--
	s.counts[second].OK++
	return true
}

// ServeHTTP answers 200 with the path, or 429. /rate?n=40 changes the rate, and /counts tells OK/THROTTLED for each second.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/rate":
		n, err := strconv.ParseFloat(r.FormValue("n"), 64)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.SetRate(n)
		return
	case "/counts":
		for _, c := range s.Counts() {
			_, _ = fmt.Fprintf(w, "%d/%d\n", c.OK, c.Throttled)
		}
		return
	}
	ok := s.take(time.Now())
	if s.EC2 {
		w.Header().Set("Content-Type", "text/xml")
		if !ok {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, ec2Throttled)
			return
		}
		_, _ = io.WriteString(w, ec2Regions)
		return
	}
	if !ok {
		if s.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(s.RetryAfter))
		}
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
	_, _ = fmt.Fprintln(w, r.URL.Path)
}

const (
	ec2Throttled = `<?xml version="1.0"?><Response><Errors><Error><Code>RequestLimitExceeded</Code>` +
		`<Message>Request limit exceeded.</Message></Error></Errors><RequestID>1</RequestID></Response>`
	ec2Regions = `<?xml version="1.0"?><DescribeRegionsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">` +
		`<requestId>1</requestId><regionInfo><item><regionName>us-east-1</regionName></item></regionInfo></DescribeRegionsResponse>`
)

// Listen serves on a free port of this host, and returns its address.
func (s *Server) Listen() (url string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	go server.Serve(l) //nolint:errcheck // it ends with stop
	return "http://" + l.Addr().String(), func() { _ = server.Close() }, nil
}
