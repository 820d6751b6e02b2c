package dynamostore

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"math"

	"github.com/throttle-cli/throttle/pacer"
)

// The bytes of a state: magic and version, flags, three instants, numbers, the schedule, the runs of its sliding windows, the owners
// of places, who waits and who was granted, and a checksum. Numbers are of variable length, instants and positions differences
// to those before: a key that nobody waits for takes some 100 bytes, one who waits some 30 more.
const (
	magic       = "throttle\x01"
	flagLimited = 1
	flagBytes   = 2
	sumSize     = 4
	// stateMost is how long they may be: an item has 400 KB, and there is more in it.
	stateMost = 380 << 10
	// beatSize is how long an attribute is by which one who waits says that it lives: each may have one in the same item.
	beatSize = 40
)

var (
	errNoState = errors.New("not a state")
	errVersion = errors.New("the state of another version")
)

func (s *state) encode() []byte {
	schedule, _ := s.alg.AppendBinary(nil) // the error is always nil
	b := append(make([]byte, 0, 256+len(schedule)), magic...)
	flags := byte(0)
	if s.limited {
		flags |= flagLimited
	}
	if s.bytes {
		flags |= flagBytes
	}
	b = append(b, flags)
	b = binary.LittleEndian.AppendUint64(b, uint64(s.seen))
	b = binary.AppendVarint(b, s.turn-s.seen)
	b = binary.AppendVarint(b, s.amnesty)
	b = binary.AppendUvarint(b, s.grants)
	b = binary.AppendUvarint(b, uint64(len(schedule)))
	b = append(b, schedule...)
	for i := range s.alg.Len() {
		b = appendRuns(b, s.alg.Ring(i))
	}
	var owners []owner
	index := make(map[owner]uint64)
	for _, list := range [][]entry{s.waiting, s.granted} {
		for _, e := range list {
			if _, ok := index[e.owner]; !ok {
				index[e.owner] = uint64(len(owners))
				owners = append(owners, e.owner)
			}
		}
	}
	b = binary.AppendUvarint(b, uint64(len(owners)))
	for _, o := range owners {
		b = append(b, o[:]...)
	}
	for _, list := range [][]entry{s.waiting, s.granted} {
		b = binary.AppendUvarint(b, uint64(len(list)))
		last := s.seen
		for _, e := range list {
			for _, v := range [...]uint64{index[e.owner], e.number, uint64(e.pid), uint64(e.cost)} {
				b = binary.AppendUvarint(b, v)
			}
			b = binary.AppendVarint(b, e.at-last)
			last = e.at
		}
	}
	return binary.LittleEndian.AppendUint32(b, checksum(b))
}

// appendRuns appends the runs of a sliding window but the newest, which is in the schedule.
func appendRuns(b []byte, r *pacer.Ring) []byte {
	if r == nil {
		return b
	}
	first, end := r.Span()
	last := int64(0)
	for at := first; at+1 < end; at++ {
		slot, units := r.Run(at)
		b = binary.AppendVarint(b, slot-last)
		b = binary.AppendUvarint(b, uint64(units))
		last = slot
	}
	return b
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// decode reads what encode has made. What can't be that is an error.
func decode(b []byte) (state, error) {
	switch {
	case len(b) < len(magic)+sumSize || string(b[:len(magic)-1]) != magic[:len(magic)-1]:
		return state{}, errNoState
	case b[len(magic)-1] != magic[len(magic)-1]:
		return state{}, errVersion
	}
	body := b[:len(b)-sumSize]
	if checksum(body) != binary.LittleEndian.Uint32(b[len(body):]) {
		return state{}, errNoState
	}
	return parse(body[len(magic):])
}

// parse reads what is behind the magic.
func parse(b []byte) (s state, err error) {
	r := reader{b: b}
	flags := r.byte()
	if flags&^(flagLimited|flagBytes) != 0 {
		return state{}, errNoState
	}
	s.limited, s.bytes = flags&flagLimited != 0, flags&flagBytes != 0
	s.seen = r.fixed()
	s.turn = s.seen + r.signed()
	s.amnesty, s.grants = r.signed(), r.unsigned()
	if s.alg.UnmarshalBinary(r.take(r.unsigned())) != nil {
		return state{}, errNoState
	}
	for i := range s.alg.Len() {
		if ring := s.alg.Ring(i); ring != nil && !r.runs(&s.alg, i, ring) {
			return state{}, errNoState
		}
	}
	n := r.unsigned()
	owners := make([]owner, min(n, uint64(len(r.b)/len(owner{}))))
	for i := range owners {
		copy(owners[i][:], r.take(uint64(len(owner{}))))
	}
	if uint64(len(owners)) != n {
		return state{}, errNoState
	}
	s.waiting = r.entries(owners, s.seen)
	s.granted = r.entries(owners, s.seen)
	if r.bad || len(r.b) > 0 {
		return state{}, errNoState
	}
	return s, nil
}

// A reader reads numbers. Once it is bad they are zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n uint64) []byte {
	if r.bad || n > uint64(len(r.b)) {
		r.bad = true
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) fixed() int64 {
	if b := r.take(8); b != nil {
		return int64(binary.LittleEndian.Uint64(b))
	}
	return 0
}

func (r *reader) unsigned() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.take(uint64(n))
	return v
}

func (r *reader) signed() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.take(uint64(n))
	return v
}

// runs gives a sliding window back what it remembers, and reports whether that can be so.
func (r *reader) runs(alg *pacer.Schedule, i int, ring *pacer.Ring) bool {
	first, end := ring.Span()
	if end-first > uint64(len(r.b))/2+1 { // there are two bytes to each: no room is made for what can't be there
		return false
	}
	alg.Recall(i, nil)
	last := int64(0)
	for at := first; at+1 < end && !r.bad; at++ {
		last += r.signed()
		units := r.unsigned()
		if units > math.MaxInt64 || !ring.Put(at, last, int64(units)) {
			return false
		}
	}
	return !r.bad && ring.Sound()
}

func (r *reader) entries(owners []owner, last int64) []entry {
	n := r.unsigned()
	if n > uint64(len(r.b)) { // there are five bytes to each
		r.bad = true
		return nil
	}
	list := make([]entry, 0, n)
	for range n {
		whose := r.unsigned()
		e := entry{number: r.unsigned()}
		pid, cost := r.unsigned(), r.unsigned()
		last += r.signed()
		if r.bad || whose >= uint64(len(owners)) || pid > math.MaxUint32 || cost < 1 || cost > math.MaxUint32 {
			r.bad = true
			return nil
		}
		e.owner, e.pid, e.cost, e.at = owners[whose], uint32(pid), int64(cost), last
		list = append(list, e)
	}
	return list
}

// What an item has.
const (
	// KeyAttribute is the partition key, a string: a prefix and the key of throttle.
	KeyAttribute = "k"
	// ExpiresAttribute is when DynamoDB may delete it, in s since 1970.
	ExpiresAttribute = "ttl"

	attrKey     = KeyAttribute
	attrExpires = ExpiresAttribute
	attrVersion = "v"      // bytes that are others with each write
	attrState   = "s"      // the bytes of a state
	attrLimits  = "limits" // for people who look at the table
	attrValue   = "d"      // a document
	beatPrefix  = "h"      // and an owner: when it was last heard of, in ns since 1970

	keyPrefix      = "key:"
	documentPrefix = "doc:"
)

// An item is one of the table, as of a time.
type item struct {
	version []byte // nil: there is none
	state   []byte
	beats   map[owner]int64
}

// itemOf returns what was read as an item. ErrForeign says that it is none of ours.
func itemOf(values map[string]Value) (*item, error) {
	it := &item{beats: make(map[owner]int64)}
	if values == nil {
		return it, nil
	}
	it.version, it.state = values[attrVersion].B, values[attrState].B
	if len(it.version) == 0 || len(it.state) == 0 {
		return nil, ErrForeign
	}
	for name, v := range values {
		if o, ok := ownerOf(name); ok && v.N != nil {
			it.beats[o] = *v.N
		}
	}
	return it, nil
}

// An owner is the number of a Store, which nobody else has.
type owner [12]byte

func (o owner) attr() string { return beatPrefix + hex.EncodeToString(o[:]) }

func ownerOf(name string) (o owner, ok bool) {
	if len(name) != len(beatPrefix)+2*len(o) || name[:len(beatPrefix)] != beatPrefix {
		return o, false
	}
	_, err := hex.Decode(o[:], []byte(name[len(beatPrefix):]))
	return o, err == nil
}
