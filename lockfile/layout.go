package lockfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"

	"github.com/throttle-cli/throttle/pacer"
)

// The layout of a state file, version 1. Numbers are little-endian.
//
//	0          header: magic, version, wake counter, checksum, key
//	2048       record A
//	3072       record B
//	4096       queue of A
//	4096+384K  queue of B
//
// An update writes the queue and then the record of the side that is not in force; the record with the higher sequence
// number is. So who reads finds one whole state or the other, whenever the writer died, and needs no lock to do so. With
// an empty queue an update is one write.
const (
	magic   = "throttle"
	version = 1

	versionAt = 8
	wakeAt    = 12 // the wake counter: a futex. It is not part of a state, nor of the checksum
	headSumAt = 16 // CRC-32C of the header without the wake counter and itself
	keyLenAt  = 20
	keyAt     = 24

	pageSize   = 4096
	recordSize = 256
	entrySize  = 24
	queueSize  = queueMost * entrySize

	// KeyMax is the length of the longest key, in bytes.
	KeyMax = 1024
)

func recordAt(side int) int64 { return 2048 + 1024*int64(side) }

func queueAt(side int) int64 { return pageSize + queueSize*int64(side) }

func checksum(parts ...[]byte) (sum uint32) {
	table := crc32.MakeTable(crc32.Castagnoli) // the same one each time
	for _, p := range parts {
		sum = crc32.Update(sum, table, p)
	}
	return sum
}

// errDamaged is what a part of the file that does not match its checksum, or can't be, is.
var errDamaged = errors.New("damaged")

// putHeader writes the header for a key to a page, and leaves the wake counter as it is.
func putHeader(page []byte, key string) {
	clear(page[keyAt : keyAt+KeyMax])
	copy(page, magic)
	binary.LittleEndian.PutUint32(page[versionAt:], version)
	binary.LittleEndian.PutUint32(page[keyLenAt:], uint32(len(key)))
	copy(page[keyAt:], key)
	binary.LittleEndian.PutUint32(page[headSumAt:], headerSum(page))
}

func headerSum(page []byte) uint32 { return checksum(page[:wakeAt], page[keyLenAt:keyAt+KeyMax]) }

// parseHeader returns the key that is in the header, or ErrForeign, ErrVersion or errDamaged.
func parseHeader(page []byte) (key string, err error) {
	if len(page) < wakeAt || string(page[:len(magic)]) != magic {
		return "", ErrForeign
	}
	switch v := binary.LittleEndian.Uint32(page[versionAt:]); {
	case v > version:
		return "", ErrVersion
	case v < version || len(page) < keyAt+KeyMax:
		return "", errDamaged
	}
	n := binary.LittleEndian.Uint32(page[keyLenAt:])
	if n > KeyMax || !allZero(page[keyAt+n:keyAt+KeyMax]) || binary.LittleEndian.Uint32(page[headSumAt:]) != headerSum(page) {
		return "", errDamaged
	}
	return string(page[keyAt : keyAt+n]), nil
}

// A record is a state with what it takes to find the one in force.
type record struct {
	state
	seq uint64

	granted, waiting uint32 // how many entries the queue has
	queueSum         uint32
}

const (
	flagLimited = 1
	flagRetired = 2
	flagBytes   = 4
)

// algGCRA says which arithmetic the state of the limit is for.
const algGCRA = 1

// Where the parts of a record are. Bytes 200 to 208 are meant for the end of a cooldown; all that is not used is zero.
const (
	rSum, rQueueSum, rSeq, rFlags, rAlg = 0, 4, 8, 16, 20
	rGCRA                               = 24
	rBoot                               = rGCRA + pacer.GCRASize
	rBootAt, rWallAt, rSwept, rCursor   = rBoot + 16, rBoot + 24, rBoot + 32, rBoot + 40
	rTurn, rGrants, rNext               = rBoot + 48, rBoot + 56, rBoot + 64
	rGranted, rWaiting, rEnd            = 208, 212, 216
)

// put writes the state as a record to b, of recordSize bytes, and returns its queue appended to queue.
func (s *state) put(b []byte, seq uint64, queue []byte) []byte {
	from := len(queue)
	for _, entries := range [...][]entry{s.granted, s.waiting} {
		for _, e := range entries {
			queue = binary.LittleEndian.AppendUint64(queue, e.ticket)
			queue = binary.LittleEndian.AppendUint64(queue, uint64(e.at))
			queue = binary.LittleEndian.AppendUint32(queue, e.cost)
			queue = binary.LittleEndian.AppendUint32(queue, e.pid)
		}
	}
	clear(b)
	binary.LittleEndian.PutUint32(b[rQueueSum:], checksum(queue[from:]))
	binary.LittleEndian.PutUint64(b[rSeq:], seq)
	flags := uint32(0)
	if s.limited {
		flags |= flagLimited
	}
	if s.retired {
		flags |= flagRetired
	}
	if s.bytes {
		flags |= flagBytes
	}
	binary.LittleEndian.PutUint32(b[rFlags:], flags)
	binary.LittleEndian.PutUint32(b[rAlg:], algGCRA)
	_, _ = s.alg.AppendBinary(b[rGCRA:rGCRA]) // never fails
	copy(b[rBoot:], s.boot[:])
	binary.LittleEndian.PutUint64(b[rBootAt:], uint64(s.bootAt))
	binary.LittleEndian.PutUint64(b[rWallAt:], uint64(s.wallAt))
	binary.LittleEndian.PutUint64(b[rSwept:], uint64(s.swept))
	binary.LittleEndian.PutUint64(b[rCursor:], s.cursor)
	binary.LittleEndian.PutUint64(b[rTurn:], uint64(s.turn))
	binary.LittleEndian.PutUint64(b[rGrants:], s.grants)
	binary.LittleEndian.PutUint64(b[rNext:], s.next)
	binary.LittleEndian.PutUint32(b[rGranted:], uint32(len(s.granted)))
	binary.LittleEndian.PutUint32(b[rWaiting:], uint32(len(s.waiting)))
	binary.LittleEndian.PutUint32(b[rSum:], checksum(b[rQueueSum:]))
	return queue
}

// parse reads a record without its queue.
func (r *record) parse(b []byte) error {
	if len(b) < recordSize {
		return errDamaged
	}
	b = b[:recordSize]
	flags := binary.LittleEndian.Uint32(b[rFlags:])
	granted, waiting := binary.LittleEndian.Uint32(b[rGranted:]), binary.LittleEndian.Uint32(b[rWaiting:])
	switch {
	case binary.LittleEndian.Uint32(b[rSum:]) != checksum(b[rQueueSum:]),
		flags&^(flagLimited|flagRetired|flagBytes) != 0,
		binary.LittleEndian.Uint32(b[rAlg:]) != algGCRA,
		granted > queueMost || waiting > queueMost || granted+waiting > queueMost,
		!allZero(b[rNext+8:rGranted]) || !allZero(b[rEnd:]):
		return errDamaged
	}
	*r = record{seq: binary.LittleEndian.Uint64(b[rSeq:]), granted: granted, waiting: waiting, queueSum: binary.LittleEndian.Uint32(b[rQueueSum:])}
	if r.alg.UnmarshalBinary(b[rGCRA:rBoot]) != nil {
		return errDamaged
	}
	r.limited, r.retired, r.bytes = flags&flagLimited != 0, flags&flagRetired != 0, flags&flagBytes != 0
	copy(r.boot[:], b[rBoot:])
	r.bootAt, r.wallAt = int64(binary.LittleEndian.Uint64(b[rBootAt:])), int64(binary.LittleEndian.Uint64(b[rWallAt:]))
	r.swept, r.cursor = int64(binary.LittleEndian.Uint64(b[rSwept:])), binary.LittleEndian.Uint64(b[rCursor:])
	r.turn, r.grants, r.next = int64(binary.LittleEndian.Uint64(b[rTurn:])), binary.LittleEndian.Uint64(b[rGrants:]), binary.LittleEndian.Uint64(b[rNext:])
	if r.next == 0 {
		return errDamaged
	}
	return nil
}

// queueLen returns the length of the queue of a record in bytes.
func (r *record) queueLen() int { return int(r.granted+r.waiting) * entrySize }

// parseQueue reads the queue of a record.
func (r *record) parseQueue(b []byte) error {
	if len(b) != r.queueLen() || checksum(b) != r.queueSum {
		return errDamaged
	}
	before := uint64(0)
	entries := make([]entry, 0, len(b)/entrySize+1) // one more may be put behind
	for ; len(b) > 0; b = b[entrySize:] {
		e := entry{ticket: binary.LittleEndian.Uint64(b), at: int64(binary.LittleEndian.Uint64(b[8:])), cost: binary.LittleEndian.Uint32(b[16:]), pid: binary.LittleEndian.Uint32(b[20:])}
		if e.ticket <= before || e.ticket >= r.next || e.cost == 0 {
			return errDamaged
		}
		before = e.ticket
		entries = append(entries, e)
	}
	r.state.granted = entries[:r.granted:r.granted]
	r.state.waiting = entries[r.granted:]
	return nil
}

// newest parses both records of a page and returns the one in force and its side. It is errDamaged if either can't be
// read: then what is returned may be one update behind, or, with side -1, nothing is known.
func newest(page []byte) (r record, side int, err error) {
	side = -1
	for i := range 2 {
		var other record
		if e := other.parse(page[min(int(recordAt(i)), len(page)):]); e != nil {
			err = e
			continue
		}
		if side < 0 || other.seq > r.seq {
			r, side = other, i
		}
	}
	return r, side, err
}

func allZero(b []byte) bool { return bytes.Count(b, []byte{0}) == len(b) }
