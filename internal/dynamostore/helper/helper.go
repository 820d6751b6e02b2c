// Package helper reaches DynamoDB in a program of its own, throttle-dynamodb, which is started on demand: the SDK of AWS takes longer
// to start up than all of throttle, and most never need it.
//
// The two speak JSON over a pipe, a message a line. What crosses it is requests to a table and what came of them; places, slots and
// waiting do not.
package helper

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/throttle-cli/throttle/internal/dynamostore"
)

// Name is that of the program.
const Name = "throttle-dynamodb"

// protocol is its version: the program of another throttle is an error.
const protocol = 1

// A question is what is asked. Each has a number of its own.
type question struct {
	ID       uint64
	Protocol int                  `json:",omitempty"` // with Dial
	Dial     *dynamostore.Address `json:",omitempty"` // the number is that of the connection
	Conn     uint64               `json:",omitempty"`
	Do       *dynamostore.Request `json:",omitempty"`
	Close    bool                 `json:",omitempty"` // of Conn; there is no answer
	Cancel   bool                 `json:",omitempty"` // the question with this ID; there is no other answer than that of it
}

// An answer is what came of a question.
type answer struct {
	ID        uint64
	Response  dynamostore.Response
	Error     *dynamostore.RequestError `json:",omitempty"`
	Cancelled bool                      `json:",omitempty"`
}

// Find returns the path of the program: beside the one that runs, or else in PATH.
func Find() (string, error) {
	name := Name
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	self, err := os.Executable()
	if err == nil {
		if target, err := filepath.EvalSymlinks(self); err == nil {
			self = target
		}
		beside := filepath.Join(filepath.Dir(self), name)
		if _, err := os.Stat(beside); err == nil {
			return beside, nil
		}
	}
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	return "", fmt.Errorf("%s is neither beside %s nor in PATH\nit comes in the same archive as throttle, and is needed for dynamodb:// only", name, self)
}

// A Helper is the program, once it is needed. Its methods may be called by any number of goroutines.
type Helper struct {
	// Start starts the program, and returns what is written to it and read from it. To close the first ends it.
	Start func() (io.WriteCloser, io.Reader, error)

	mu  sync.Mutex
	run *run
}

// New returns a Helper that is the program of a path, or where that is empty the one that Find finds.
func New(path string) *Helper {
	return &Helper{Start: func() (io.WriteCloser, io.Reader, error) {
		program := path
		if program == "" {
			var err error
			if program, err = Find(); err != nil {
				return nil, nil, err
			}
		}
		cmd := exec.Command(program) //nolint:gosec,noctx // it ends with us
		in, err := cmd.StdinPipe()
		if err != nil {
			return nil, nil, err
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			return nil, nil, err
		}
		var said tail
		cmd.Stderr = &said
		cmd.WaitDelay = waitDelay
		if err := cmd.Start(); err != nil {
			return nil, nil, err
		}
		return in, &waiter{out, cmd, &said}, nil
	}}
}

// waitDelay is how long a program that it has started, such as one that says who we are, is waited for when it has ended itself: that
// has its stderr, too.
const waitDelay = time.Second

// A waiter reads what a program says, and at the end waits for it.
type waiter struct {
	io.Reader
	cmd  *exec.Cmd
	said *tail
}

func (w *waiter) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	if err != nil {
		if e := w.cmd.Wait(); e != nil {
			err = fmt.Errorf("%w %s", e, w.said)
		}
	}
	return n, err
}

// A tail keeps the first of what is written to it.
type tail struct{ b []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p[:min(len(p), max(0, 1000-len(t.b)))]...)
	return len(p), nil
}

func (t *tail) String() string { return strings.TrimSpace(string(t.b)) }

var _ dynamostore.Dial = (*Helper)(nil).Dial

// Dial connects to a table.
func (h *Helper) Dial(ctx context.Context, at dynamostore.Address) (dynamostore.Client, error) {
	c := &client{h: h, at: at}
	_, _, err := c.connect(ctx)
	return c, err
}

// running returns the program that runs, and starts one if there is none.
func (h *Helper) running() (*run, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.run != nil && !h.run.ended() {
		return h.run, nil
	}
	in, out, err := h.Start()
	if err != nil {
		return nil, &dynamostore.RequestError{Code: dynamostore.CodeConfig, Message: err.Error()}
	}
	h.run = &run{in: in, pending: map[uint64]chan answer{}, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go h.run.listen(out)
	go h.run.write()
	return h.run, nil
}

// Close ends the program, if it runs.
func (h *Helper) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.run == nil {
		return nil
	}
	err := h.run.in.Close()
	<-h.run.done
	h.run = nil
	return err
}

// A run is the program while it runs.
type run struct {
	in io.WriteCloser

	mu      sync.Mutex
	next    uint64
	pending map[uint64]chan answer
	unsent  []message
	wake    chan struct{} // there are unsent ones
	done    chan struct{} // closed when it has ended
	why     error         // of that
}

// A message is a question as it is written.
type message struct {
	id uint64
	b  []byte
}

func (r *run) ended() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// listen hands out answers until there are no more.
func (r *run) listen(out io.Reader) {
	d := json.NewDecoder(bufio.NewReader(out))
	for {
		var a answer
		if err := d.Decode(&a); err != nil {
			r.mu.Lock()
			r.why = err
			r.mu.Unlock()
			_ = r.in.Close()
			close(r.done)
			return
		}
		r.mu.Lock()
		to := r.pending[a.ID]
		delete(r.pending, a.ID)
		r.mu.Unlock()
		if to != nil {
			to <- a // there is room
		}
	}
}

// send has a question written. It does not wait for that: a program that was stopped reads nothing.
func (r *run) send(q question) error {
	b, err := json.Marshal(q)
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.unsent = append(r.unsent, message{q.ID, append(b, '\n')})
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
	return nil
}

// write writes what is to be sent, until it has ended.
func (r *run) write() {
	for {
		select {
		case <-r.wake:
		case <-r.done:
			return
		}
		for {
			m, ok := r.pop()
			if !ok {
				break
			}
			if _, err := r.in.Write(m.b); err != nil {
				return // it has ended, and listen finds out why
			}
		}
	}
}

func (r *run) pop() (m message, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.unsent) == 0 {
		return m, false
	}
	m, r.unsent = r.unsent[0], r.unsent[1:]
	return m, true
}

// ask asks, and returns the answer.
func (r *run) ask(ctx context.Context, q question) (uint64, dynamostore.Response, error) {
	to := make(chan answer, 1)
	r.mu.Lock()
	r.next++
	q.ID = r.next
	r.pending[q.ID] = to
	r.mu.Unlock()
	if err := r.send(q); err != nil {
		return 0, dynamostore.Response{}, err
	}
	select {
	case a := <-to:
		return q.ID, a.Response, a.err()
	case <-ctx.Done():
		if r.drop(q.ID) {
			_ = r.send(question{ID: q.ID, Cancel: true}) // it can be marshaled
		}
		return 0, dynamostore.Response{}, ctx.Err()
	case <-r.done:
		return 0, dynamostore.Response{}, r.gone()
	}
}

// drop forgets a question, and reports whether it was sent.
func (r *run) drop(id uint64) (sent bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.pending, id)
	n := len(r.unsent)
	r.unsent = slices.DeleteFunc(r.unsent, func(m message) bool { return m.id == id })
	return len(r.unsent) == n
}

func (a *answer) err() error {
	switch {
	case a.Cancelled:
		return context.Canceled
	case a.Error != nil:
		return a.Error
	}
	return nil
}

// gone says that the program has ended, which may pass: it is started again.
func (r *run) gone() error {
	<-r.done
	return &dynamostore.RequestError{Code: dynamostore.CodeNetwork, Message: fmt.Sprintf("%s has ended: %v", Name, r.why)}
}

// A client is a connection of the program.
type client struct {
	h  *Helper
	at dynamostore.Address

	mu   sync.Mutex
	run  *run
	conn uint64
}

// connect returns the program that runs, and the number of the connection there.
func (c *client) connect(ctx context.Context) (*run, uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, err := c.h.running()
	if err != nil || r == c.run {
		return r, c.conn, err
	}
	conn, _, err := r.ask(ctx, question{Protocol: protocol, Dial: &c.at})
	if err == nil {
		c.run, c.conn = r, conn
	}
	return r, conn, err
}

// Do does a request.
func (c *client) Do(ctx context.Context, q dynamostore.Request) (dynamostore.Response, error) {
	r, conn, err := c.connect(ctx)
	if err != nil {
		return dynamostore.Response{}, err
	}
	_, response, err := r.ask(ctx, question{Conn: conn, Do: &q})
	return response, err
}

// Close closes the connection. The program stays, for others.
func (c *client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.run != nil && !c.run.ended() {
		_ = c.run.send(question{Conn: c.conn, Close: true}) // else it is closed
	}
	return nil
}

// Serve is what the program does: it answers until there are no more questions.
func Serve(ctx context.Context, in io.Reader, out io.Writer, dial dynamostore.Dial) error {
	s := &server{out: out, dial: dial, conns: map[uint64]dynamostore.Client{}, cancels: map[uint64]context.CancelFunc{}}
	ctx, stop := context.WithCancel(ctx)
	defer s.tasks.Wait()
	defer stop() // nobody wants to know any more
	d := json.NewDecoder(bufio.NewReader(in))
	for {
		var q question
		if err := d.Decode(&q); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		s.take(ctx, q)
	}
}

// A server is the program.
type server struct {
	dial  dynamostore.Dial
	tasks sync.WaitGroup

	writing sync.Mutex
	out     io.Writer

	mu      sync.Mutex
	conns   map[uint64]dynamostore.Client
	cancels map[uint64]context.CancelFunc
}

func (s *server) take(ctx context.Context, q question) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case q.Cancel:
		if stop := s.cancels[q.ID]; stop != nil {
			stop()
		}
		return
	case q.Close:
		if c := s.conns[q.Conn]; c != nil {
			_ = c.Close() // nobody wants to know
			delete(s.conns, q.Conn)
		}
		return
	}
	ctx, stop := context.WithCancel(ctx)
	s.cancels[q.ID] = stop
	c := s.conns[q.Conn]
	s.tasks.Go(func() {
		a := answer{ID: q.ID}
		var err error
		switch {
		case q.Dial != nil && q.Protocol != protocol:
			err = fmt.Errorf("this %s is not that of this throttle", Name)
		case q.Dial != nil:
			if c, err = s.dial(ctx, *q.Dial); err == nil {
				s.mu.Lock()
				s.conns[q.ID] = c
				s.mu.Unlock()
			}
		case c == nil || q.Do == nil:
			err = fmt.Errorf("%s does not know what is asked", Name)
		default:
			a.Response, err = c.Do(ctx, *q.Do)
		}
		a.Cancelled = err != nil && ctx.Err() != nil
		if err != nil && !a.Cancelled && !errors.As(err, &a.Error) {
			a.Error = &dynamostore.RequestError{Code: dynamostore.CodeConfig, Message: err.Error()}
		}
		s.mu.Lock()
		delete(s.cancels, q.ID)
		s.mu.Unlock()
		stop()
		s.say(a)
	})
}

func (s *server) say(a answer) {
	b, err := json.Marshal(a)
	if err != nil {
		b, _ = json.Marshal(answer{ID: a.ID, Error: &dynamostore.RequestError{Code: dynamostore.CodeConfig, Message: err.Error()}})
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	_, _ = s.out.Write(append(b, '\n')) // if nobody reads, there are no more questions either
}
