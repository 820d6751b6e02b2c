// Package output brings the output of jobs that run at the same time to one stdout and one stderr, so that no job's
// output is torn by another's. What has to wait is kept in memory as far as it is little, and else on disk, in a file
// that has no name.
package output

import (
	"bytes"
	"io"
	"slices"
	"sync"
	"sync/atomic"
)

// Mode says when the output of a job is written.
type Mode int

// The modes.
const (
	Group      Mode = iota // when the job has ended, in one piece
	LineBuffer             // when a line is complete
	Ungroup                // at once, by the job itself
)

// A Sink is where the output of all jobs goes.
type Sink struct {
	mode  Mode
	keep  bool
	disk  *disk
	files [2]io.Writer // stdout and stderr

	mu      sync.Mutex            // held while writing to them, so that what belongs together stays together
	broken  atomic.Pointer[error] // why no more can be written
	written atomic.Int64          // bytes

	orderMu sync.Mutex // taken after mu
	order   []*Job     // with keep: those whose turn has not gone by, in order
}

// New returns a Sink. With keepOrder the output of jobs comes in the order of their Job calls; mode is not Ungroup then.
func New(stdout, stderr io.Writer, mode Mode, keepOrder bool) *Sink {
	s := &Sink{mode: mode, keep: keepOrder, disk: newDisk()}
	s.files = [2]io.Writer{stdout, stderr}
	return s
}

// Broken returns why the output could not be written, or nil.
func (s *Sink) Broken() error {
	if err := s.broken.Load(); err != nil {
		return *err
	}
	return nil
}

// Written returns how many bytes were written, tags included.
func (s *Sink) Written() int64 { return s.written.Load() }

// Note writes a message to stderr, between the output of jobs.
func (s *Sink) Note(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = io.WriteString(s.files[1], text) // there is nobody else to tell
}

// Job returns the output of a new job. Each line of it begins with the tag.
func (s *Sink) Job(tag string) *Job {
	j := &Job{sink: s}
	for i := range j.streams {
		j.streams[i] = stream{job: j, to: i, spool: spool{disk: s.disk}, fresh: true}
		if tag != "" {
			j.streams[i].tag = []byte(tag)
		}
	}
	if s.keep {
		s.orderMu.Lock()
		s.order = append(s.order, j)
		s.orderMu.Unlock()
	}
	return j
}

// A Job is the output of one job.
type Job struct {
	sink    *Sink
	streams [2]stream
	ended   bool // guarded by the lock of the sink
	written atomic.Bool
}

// Stdout returns what the job's standard output is to be written to, by one goroutine.
func (j *Job) Stdout() io.Writer { return j.writer(0) }

// Stderr returns what the job's standard error is to be written to, by one goroutine.
func (j *Job) Stderr() io.Writer { return j.writer(1) }

func (j *Job) writer(i int) io.Writer {
	if j.sink.mode == Ungroup {
		return j.sink.files[i]
	}
	return &j.streams[i]
}

// Written reports whether all output of the job has been written, after its End. It has not been while jobs before it hold
// it up, and never will be if that failed.
func (j *Job) Written() bool { return j.sink.mode == Ungroup || j.written.Load() }

// Sizes returns how many bytes the job has written to stdout and stderr, once it does not write any more. What it has
// written by itself is not known.
func (j *Job) Sizes() (stdout, stderr int64) { return j.streams[0].size, j.streams[1].size }

// Restart forgets what the job has written and is kept: it is run again. What was written at once stays.
func (j *Job) Restart() {
	s := j.sink
	if s.mode == Ungroup {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range j.streams {
		j.streams[i].spool.free()
		j.streams[i].spool.err = nil
		j.streams[i].size = 0
	}
}

// End says that the job has ended, and writes what is to be written now. It returns why output of this job, or of one
// that waited for it, is incomplete.
func (j *Job) End() error {
	s := j.sink
	if s.mode == Ungroup {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	j.ended = true
	if !s.keep {
		err := j.flush()
		j.written.Store(err == nil)
		return err
	}
	if s.first() != j {
		return j.hold()
	}
	var err error
	for f := j; f != nil && f.ended; f = s.next() {
		e := f.flush()
		f.written.Store(e == nil)
		if err == nil {
			err = e
		}
	}
	if f := s.first(); f != nil && s.mode == LineBuffer { // what it has by now; from here on it writes itself
		if e := f.flush(); err == nil {
			err = e
		}
	}
	return err
}

// first returns the job whose turn it is, nil if there is none.
func (s *Sink) first() *Job {
	s.orderMu.Lock()
	defer s.orderMu.Unlock()
	if len(s.order) == 0 {
		return nil
	}
	return s.order[0]
}

// next ends the turn of the first job, and returns the one whose turn it is then.
func (s *Sink) next() *Job {
	s.orderMu.Lock()
	s.order[0] = nil
	s.order = s.order[1:]
	s.orderMu.Unlock()
	return s.first()
}

// flush writes all that is kept of the job. The sink is locked.
func (j *Job) flush() error {
	var err error
	for i := range j.streams {
		st := &j.streams[i]
		if e := st.flush(); err == nil {
			err = e
		}
		st.spool.free()
	}
	return err
}

// hold keeps the output of an ended job until its turn has come.
func (j *Job) hold() error {
	var err error
	for i := range j.streams {
		if e := j.streams[i].spool.settle(); err == nil {
			err = e
		}
	}
	return err
}

// A stream is one of the two outputs of a job.
type stream struct {
	job   *Job
	to    int // 0 stdout, 1 stderr
	tag   []byte
	fresh bool // whether a line begins here
	spool spool
	tmp   []byte // of tagged
	size  int64  // bytes that the job wrote
}

// Write takes the next output of the job. An error of the consumer is returned, so that the job can be told.
func (st *stream) Write(p []byte) (int, error) {
	s := st.job.sink
	st.size += int64(len(p))
	if s.mode == LineBuffer {
		return st.writeLines(p)
	}
	if err := s.Broken(); err != nil {
		return 0, err
	}
	if err := st.spool.write(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (st *stream) writeLines(p []byte) (int, error) {
	s := st.job.sink
	end := bytes.LastIndexByte(p, '\n') + 1
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.Broken(); err != nil {
		return 0, err
	}
	if s.keep && s.first() != st.job {
		end = 0
	}
	if end > 0 {
		if err := st.flush(); err != nil {
			return 0, err
		}
		st.spool.free()
		if err := st.emit(p[:end]); err != nil {
			return 0, err
		}
	}
	if err := st.spool.write(p[end:]); err != nil {
		return 0, err
	}
	return len(p), nil
}

// flush writes what is kept. The sink is locked.
func (st *stream) flush() error {
	if err := st.spool.each(st.emit); err != nil {
		return err
	}
	return st.spool.err
}

// emit writes p, with tags. The sink is locked.
func (st *stream) emit(p []byte) error {
	s := st.job.sink
	if err := s.Broken(); err != nil || len(p) == 0 {
		return err
	}
	if st.tag != nil {
		p = st.tagged(p)
	}
	n, err := s.files[st.to].Write(p)
	s.written.Add(int64(n))
	if err != nil {
		s.broken.Store(&err)
		return err
	}
	return nil
}

// tagged returns p with the tag in front of each line. The result is valid until the next call.
func (st *stream) tagged(p []byte) []byte {
	out := slices.Grow(st.tmp[:0], len(p))
	for len(p) > 0 {
		if st.fresh {
			out = append(out, st.tag...)
		}
		end := bytes.IndexByte(p, '\n') + 1
		st.fresh = end > 0
		if end == 0 {
			end = len(p)
		}
		out = append(out, p[:end]...)
		p = p[end:]
	}
	st.tmp = out
	return out
}
