package lockfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
)

// The layout of a state file, version 3. Numbers are little-endian.
//
//	0           header: magic, version, wake counter, checksum, key
//	1536        record A, and its grants that were not collected
//	2816        record B, and its grants
//	4096        ring 0, of those who wait
//	4096+512K   ring 1
//	4096+1024K  grants of A, where there are too many
//	4096+1536K  grants of B
//	4096+2048K  the runs of the first limit, where it is a sliding window, and of the others, 1536K each
//
// An update writes what is not in force, and then the record of the side that is not in force; the record with the higher
// sequence number is. So who reads finds one whole state or the other, whenever the writer died, and needs no lock to do
// so.
//
// Who waits stands in one of the rings, at positions that count up. One who comes to the end is written behind the last,
// and the first one leaves by the record alone, so that a grant costs the same however many wait. Where one leaves in the
// middle the queue goes over to the other ring.
const (
	magic   = "throttle"
	version = 3

	versionAt = 8
	wakeAt    = 12 // the wake counter: a futex. It is not part of a state, nor of the checksum
	headSumAt = 16 // CRC-32C of the header without the wake counter and itself
	keyLenAt  = 20
	keyAt     = 24

	pageSize   = 4096
	recordRoom = 1280 // for a record, and behind it, in the same page, for grants: they are there to write even if the disk is full
	entrySize  = 32
	queueSize  = queueMost * entrySize

	// KeyMax is the length of the longest key, in bytes.
	KeyMax = 1024
)

func recordAt(side int) int64 { return 1536 + recordRoom*int64(side) }

// grantsMost returns how many grants there is room for behind a record of so many bytes.
func grantsMost(size int) int { return (recordRoom - size) / entrySize }

func ringAt(ring int) int64 { return pageSize + queueSize*int64(ring) }

func grantedAt(side int) int64 { return pageSize + queueSize*int64(2+side) }

func checksum(parts ...[]byte) (sum uint32) {
	table := crc32.MakeTable(crc32.Castagnoli) // the same one each time
	for _, p := range parts {
		if len(p) > 0 {
			sum = crc32.Update(sum, table, p)
		}
	}
	return sum
}

// errDamaged is what a part of the file that does not match its checksum, or can't be, is.
var errDamaged = errors.New("damaged")

// errOlder is an ErrVersion of a file that is older than we are.
var errOlder = olderError{}

type olderError struct{}

func (olderError) Error() string { return "state file of an older version" }

func (olderError) Is(target error) bool { return target == ErrVersion }

// putHeader writes the header for a key to a page, and leaves the wake counter as it is.
func putHeader(page []byte, key string) {
	clear(page[keyAt : keyAt+KeyMax])
	copy(page, magic)
	binary.LittleEndian.PutUint32(page[versionAt:], version)
	binary.LittleEndian.PutUint32(page[keyLenAt:], uint32(len(key)))
	copy(page[keyAt:], key)
	binary.LittleEndian.PutUint32(page[headSumAt:], headerSum(page))
}

// headerSum is that of what is used: behind the key there are zeros.
func headerSum(page []byte) uint32 {
	n := min(binary.LittleEndian.Uint32(page[keyLenAt:]), KeyMax)
	return checksum(page[:wakeAt], page[keyLenAt:keyAt+n])
}

// parseHeader returns the key that is in the header, or ErrForeign, ErrVersion or errDamaged.
func parseHeader(page []byte) (key string, err error) {
	if len(page) < wakeAt || string(page[:len(magic)]) != magic {
		return "", ErrForeign
	}
	v := binary.LittleEndian.Uint32(page[versionAt:])
	switch {
	case v > version: // whatever comes behind that
		return "", ErrVersion
	case len(page) < keyAt+KeyMax:
		return "", errDamaged
	}
	n := binary.LittleEndian.Uint32(page[keyLenAt:])
	switch {
	case n > KeyMax || !allZero(page[keyAt+n:keyAt+KeyMax]) || binary.LittleEndian.Uint32(page[headSumAt:]) != headerSum(page):
		return "", errDamaged
	case v < version: // all had this header
		return "", errOlder
	}
	return string(page[keyAt : keyAt+n]), nil
}

// sameHeader reports whether a page has a header, but for the wake counter.
func sameHeader(page, header []byte) bool {
	return len(page) >= len(header) && bytes.Equal(page[:wakeAt], header[:wakeAt]) && bytes.Equal(page[headSumAt:len(header)], header[headSumAt:])
}

// A record is a state with what it takes to find the one in force.
type record struct {
	state
	seq  uint64
	size int // in bytes

	grantedLen, waitingLen uint32 // how many entries there are
	grantedSum             uint32
	waitingSum             uint64 // the sum of their checksums
}

const (
	flagLimited = 1
	flagRetired = 2
	flagBytes   = 4
	flagRing    = 8 // those who wait are in ring 1
	flagsKnown  = 15
)

// Where the parts of a record are. Behind rSchedule there is as much as the limits need.
const (
	rSum, rGrantedSum, rSeq, rFlags, rLen = 0, 4, 8, 16, 20
	rBoot                                 = 24
	rBootAt, rWallAt, rSwept, rCursor     = rBoot + 16, rBoot + 24, rBoot + 32, rBoot + 40
	rTurn, rGrants, rNext                 = rBoot + 48, rBoot + 56, rBoot + 64
	rGranted, rWaiting, rFirst            = rBoot + 72, rBoot + 76, rBoot + 80
	rWaitingSum, rSchedule                = rBoot + 88, rBoot + 96
)

// put appends the entry to b as entrySize bytes, and has its checksum.
func (e *entry) put(b []byte) []byte {
	from := len(b)
	b = binary.LittleEndian.AppendUint64(b, e.ticket)
	b = binary.LittleEndian.AppendUint64(b, uint64(e.at))
	b = binary.LittleEndian.AppendUint32(b, e.owner)
	b = binary.LittleEndian.AppendUint32(b, e.cost)
	b = binary.LittleEndian.AppendUint32(b, e.pid)
	e.sum = checksum(b[from:])
	return binary.LittleEndian.AppendUint32(b, e.sum)
}

// parseEntries appends the entries in b to entries.
func parseEntries(entries []entry, b []byte) ([]entry, error) {
	for ; len(b) >= entrySize; b = b[entrySize:] {
		entries = append(entries, entry{
			ticket: binary.LittleEndian.Uint64(b), at: int64(binary.LittleEndian.Uint64(b[8:])), owner: binary.LittleEndian.Uint32(b[16:]),
			cost: binary.LittleEndian.Uint32(b[20:]), pid: binary.LittleEndian.Uint32(b[24:]), sum: binary.LittleEndian.Uint32(b[28:]),
		})
		if entries[len(entries)-1].sum != checksum(b[:entrySize-4]) {
			return nil, errDamaged
		}
	}
	return entries, nil
}

// put writes the state as a record to b, which has room for recordRoom bytes, and returns what is used of it, and the grants
// that were not collected appended to granted. Those who wait have their checksums.
func (s *state) put(b []byte, seq uint64, granted []byte) (record, entries []byte) {
	from := len(granted)
	for i := range s.granted {
		granted = s.granted[i].put(granted)
	}
	b, _ = s.alg.AppendBinary(b[:rSchedule]) // never fails
	binary.LittleEndian.PutUint32(b[rGrantedSum:], checksum(granted[from:]))
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
	if s.ring == 1 {
		flags |= flagRing
	}
	binary.LittleEndian.PutUint32(b[rFlags:], flags)
	binary.LittleEndian.PutUint32(b[rLen:], uint32(len(b)))
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
	binary.LittleEndian.PutUint64(b[rFirst:], s.first)
	binary.LittleEndian.PutUint64(b[rWaitingSum:], sumOf(s.waiting))
	binary.LittleEndian.PutUint32(b[rSum:], checksum(b[rGrantedSum:]))
	return b, granted
}

// sumOf returns the sum of the checksums of entries, which finds those that belong to another time.
func sumOf(entries []entry) (sum uint64) {
	for i := range entries {
		sum += uint64(entries[i].sum)
	}
	return sum
}

// parse reads a sound record without its entries into r, which is zero.
func (r *record) parse(b []byte) error {
	flags := binary.LittleEndian.Uint32(b[rFlags:])
	granted, waiting := binary.LittleEndian.Uint32(b[rGranted:]), binary.LittleEndian.Uint32(b[rWaiting:])
	switch {
	case flags&^flagsKnown != 0,
		binary.LittleEndian.Uint32(b[rLen:]) != uint32(len(b)),
		granted > queueMost || waiting > queueMost || granted+waiting > queueMost:
		return errDamaged
	}
	r.seq, r.size, r.grantedLen, r.waitingLen = binary.LittleEndian.Uint64(b[rSeq:]), len(b), granted, waiting
	r.grantedSum, r.waitingSum = binary.LittleEndian.Uint32(b[rGrantedSum:]), binary.LittleEndian.Uint64(b[rWaitingSum:])
	if r.alg.UnmarshalBinary(b[rSchedule:]) != nil {
		return errDamaged
	}
	r.limited, r.retired, r.bytes = flags&flagLimited != 0, flags&flagRetired != 0, flags&flagBytes != 0
	copy(r.boot[:], b[rBoot:])
	r.bootAt, r.wallAt = int64(binary.LittleEndian.Uint64(b[rBootAt:])), int64(binary.LittleEndian.Uint64(b[rWallAt:]))
	r.swept, r.cursor = int64(binary.LittleEndian.Uint64(b[rSwept:])), binary.LittleEndian.Uint64(b[rCursor:])
	r.turn, r.grants, r.next = int64(binary.LittleEndian.Uint64(b[rTurn:])), binary.LittleEndian.Uint64(b[rGrants:]), binary.LittleEndian.Uint64(b[rNext:])
	r.ring, r.first = int(flags&flagRing/flagRing), binary.LittleEndian.Uint64(b[rFirst:])
	if r.next == 0 || r.first > math.MaxInt64 {
		return errDamaged
	}
	return nil
}

// setEntries makes entries those of the record, if they are.
func (r *record) setEntries(granted, waiting []entry) error {
	if len(granted) != int(r.grantedLen) || len(waiting) != int(r.waitingLen) || sumOf(waiting) != r.waitingSum {
		return errDamaged
	}
	before := uint64(0)
	for _, entries := range [...][]entry{granted, waiting} {
		for i := range entries {
			e := &entries[i]
			if e.ticket <= before || e.ticket >= r.next || e.cost == 0 || e.owner == 0 {
				return errDamaged
			}
			before = e.ticket
		}
	}
	r.granted, r.waiting = granted, waiting
	return nil
}

// parseGranted reads the grants of a record that were not collected.
func (r *record) parseGranted(b []byte) ([]entry, error) {
	if len(b) != int(r.grantedLen)*entrySize || checksum(b) != r.grantedSum {
		return nil, errDamaged
	}
	return parseEntries(nil, b)
}

// newest parses the record of a page that is in force into r, which is zero, and returns its side. It is errDamaged if either
// record can't be read: then what is in r may be one update behind, or, with side -1, nothing is known.
func newest(page []byte, r *record) (side int, err error) {
	var records [2][]byte
	var seqs [2]uint64
	for i := range records {
		records[i] = recordIn(page, i)
		if len(records[i]) > 0 {
			seqs[i] = binary.LittleEndian.Uint64(records[i][rSeq:])
		}
	}
	first := 0
	if seqs[1] > seqs[0] {
		first = 1
	}
	side = -1
	for _, i := range [...]int{first, 1 - first} {
		switch {
		case !sound(records[i]):
			err = errDamaged
		case side >= 0: // the one before, which is of no more use
		case r.parse(records[i]) != nil:
			*r, err = record{}, errDamaged
		default:
			side = i
		}
	}
	return side, err
}

// recordIn returns the bytes of a record, or none where it does not say how many it has.
func recordIn(page []byte, side int) []byte {
	b := page[min(int(recordAt(side)), len(page)):]
	if len(b) < rSchedule {
		return nil
	}
	n := binary.LittleEndian.Uint32(b[rLen:])
	if n < rSchedule || n > recordRoom || int(n) > len(b) {
		return nil
	}
	return b[:n]
}

// sound reports whether the bytes of a record match its checksum.
func sound(b []byte) bool {
	return len(b) >= rSchedule && binary.LittleEndian.Uint32(b[rSum:]) == checksum(b[rGrantedSum:])
}

func allZero(b []byte) bool { return bytes.Count(b, []byte{0}) == len(b) }
