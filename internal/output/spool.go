package output

import (
	"os"
	"sync"
	"sync/atomic"

	"github.com/throttle-cli/throttle/internal/unnamed"
)

const (
	// blockSize is how much of a stream is kept in memory: more goes to disk, in blocks of this size.
	blockSize = 64 << 10
	// heldMemory is how much of the output of ended jobs that wait for their turn is kept in memory, in all.
	heldMemory = 32 << 20
)

// A spool keeps the output of one stream: whole blocks on disk, and what came last in memory.
type spool struct {
	disk   *disk
	blocks []block
	tail   []byte
	held   int // of the tail, counted as held memory
	err    error
}

// A block is a piece of the output on disk.
type block struct {
	number int64
	size   int
}

func (s *spool) write(p []byte) error {
	for len(p) > 0 && s.err == nil {
		n := min(len(p), blockSize-len(s.tail))
		s.tail = append(s.tail, p[:n]...)
		p = p[n:]
		if len(s.tail) == blockSize {
			s.spill()
		}
	}
	return s.err
}

// spill brings the tail to disk.
func (s *spool) spill() {
	number, err := s.disk.put(s.tail)
	if err != nil {
		s.err = err
		return
	}
	s.blocks = append(s.blocks, block{number, len(s.tail)})
	s.tail = s.tail[:0]
}

// settle is called when no more is written and the output may have to be kept for long.
func (s *spool) settle() error {
	if s.err != nil || len(s.tail) == 0 {
		return s.err
	}
	s.held = len(s.tail)
	if s.disk.held.Add(int64(s.held)) > heldMemory {
		s.disk.held.Add(-int64(s.held))
		s.held = 0
		s.spill()
		s.tail = nil
		return s.err
	}
	s.tail = append(make([]byte, 0, s.held), s.tail...) // no more than it needs
	return nil
}

// each calls emit with all that is kept, in order, until it fails.
func (s *spool) each(emit func([]byte) error) error {
	if len(s.blocks) > 0 {
		buf := make([]byte, blockSize)
		for _, b := range s.blocks {
			if err := s.disk.get(b.number, buf[:b.size]); err != nil {
				return err
			}
			if err := emit(buf[:b.size]); err != nil {
				return err
			}
		}
	}
	return emit(s.tail)
}

// free forgets what is kept. The spool can be used again.
func (s *spool) free() {
	for _, b := range s.blocks {
		s.disk.release(b.number)
	}
	s.disk.held.Add(-int64(s.held))
	s.blocks, s.tail, s.held = nil, s.tail[:0], 0
}

// A disk keeps blocks in one file that has no name. It is made when it is needed.
type disk struct {
	held atomic.Int64 // bytes that ended jobs have in memory

	mu   sync.Mutex
	file *os.File
	next int64   // the first block that was never used
	idle []int64 // blocks before it that are not in use
}

func newDisk() *disk { return &disk{} }

// put writes p to a block and returns its number.
func (d *disk) put(p []byte) (int64, error) {
	number, f, err := d.take()
	if err != nil {
		return 0, err
	}
	if _, err := f.WriteAt(p, number*blockSize); err != nil {
		d.release(number)
		return 0, err
	}
	return number, nil
}

func (d *disk) take() (int64, *os.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.file == nil {
		f, err := unnamed.New("")
		if err != nil {
			return 0, nil, err
		}
		d.file = f
	}
	if n := len(d.idle); n > 0 {
		number := d.idle[n-1]
		d.idle = d.idle[:n-1]
		return number, d.file, nil
	}
	d.next++
	return d.next - 1, d.file, nil
}

func (d *disk) get(number int64, p []byte) error {
	_, err := d.file.ReadAt(p, number*blockSize)
	return err
}

// release gives a block back. When none is in use the disk has its space back too.
func (d *disk) release(number int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.idle = append(d.idle, number)
	if int64(len(d.idle)) == d.next && d.file.Truncate(0) == nil {
		d.idle, d.next = d.idle[:0], 0
	}
}
