package journal

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"math"
	"slices"
	"sync"
)

// An Item is one thing to do: what it is made of, and which of those that are made of the same it is.
type Item struct {
	Hash [16]byte // the first half of the SHA-256 of its content
	N    int      // from 1
}

// A State is what is known of an item.
type State uint8

// The states.
const (
	New      State = iota // never started
	Pending               // started, and not done: an attempt was interrupted, or has failed and was to be made again
	InFlight              // an attempt was started, and nobody knows whether it ended
	Bad                   // done, without success
	Good                  // done
)

// A Policy says what is run again.
type Policy struct {
	Failed   bool   // whether those that failed are
	InFlight Action // what is done with those that were in flight
}

// A Decision says what to do with an item.
type Decision struct {
	Run bool // whether it's to be run; if not, and Was is not Good, it counts as failed
	Was State
	Seq int // the number that it had, 0 for a new one
}

// A Ledger knows the state of items, as former runs left it, and counts the items of an input. It takes about 50 bytes
// for each. Its methods may be called by several goroutines at once.
type Ledger struct {
	mu      sync.Mutex
	entries map[[16]byte]entry
	flights map[Item]Flight
	maxSeq  int
}

// An entry is kept for each item, under its place.
type entry struct {
	seq   uint32
	seen  uint32 // in this input; only kept for the first of those with the same content
	state State
}

func newLedger() *Ledger {
	return &Ledger{entries: make(map[[16]byte]entry), flights: make(map[Item]Flight)}
}

// place returns where the entry of an item is: at its hash, and near to it for those after the first. That these meet
// those of another hash is as unlikely as two contents with the same one.
func (i Item) place() [16]byte {
	p := i.Hash
	last := binary.LittleEndian.Uint32(p[12:])
	binary.LittleEndian.PutUint32(p[12:], last^uint32(i.N-1))
	return p
}

// Item returns the next item of the input, for its content.
func (l *Ledger) Item(content []byte) Item {
	sum := sha256.Sum256(content)
	i := Item{Hash: [16]byte(sum[:16])}
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entries[i.Hash]
	e.seen++
	l.entries[i.Hash] = e
	i.N = int(e.seen)
	return i
}

// Decide returns what to do with an item.
func (l *Ledger) Decide(i Item, p Policy) Decision {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entries[i.place()]
	d := Decision{Was: e.state, Seq: int(e.seq)}
	switch e.state {
	case Good:
	case Bad:
		d.Run = p.Failed
	case InFlight:
		d.Run = p.InFlight == Rerun
	case New, Pending:
		d.Run = true
	}
	return d
}

// InFlight returns the items that were in flight, by their numbers.
func (l *Ledger) InFlight() []Flight {
	return slices.SortedFunc(maps.Values(l.flights), func(a, b Flight) int {
		return cmp.Or(cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.Item.N, b.Item.N))
	})
}

// flight returns what is known of an item in flight.
func (l *Ledger) flight(i Item) Flight {
	f := l.flights[i]
	f.Item = i
	return f
}

// MaxSeq returns the highest number of an item. New ones go on from there.
func (l *Ledger) MaxSeq() int { return l.maxSeq }

// Counts returns how many items there are in each state.
func (l *Ledger) Counts() map[State]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	counts := make(map[State]int)
	for _, e := range l.entries {
		if e.state != New {
			counts[e.state]++
		}
	}
	return counts
}

// set takes down what a row says of an item.
func (l *Ledger) set(i Item, seq uint32, state State) {
	place := i.place()
	e := l.entries[place]
	e.seq, e.state = seq, state
	l.entries[place] = e
	l.maxSeq = max(l.maxSeq, int(seq))
}

// A Builder makes a Ledger of another record of the past, such as a joblog, which knows only what is done.
type Builder struct {
	done []done
}

type done struct {
	hash  [16]byte
	seq   uint32
	state State
}

// Add adds that the item of that content and number was done. What is added later for the same two is true. A number
// that can't be one is left out.
func (b *Builder) Add(content []byte, seq int, ok bool) {
	if seq < 1 || seq > math.MaxUint32 {
		return
	}
	sum := sha256.Sum256(content)
	state := Bad
	if ok {
		state = Good
	}
	b.done = append(b.done, done{[16]byte(sum[:16]), uint32(seq), state})
}

// Ledger returns the Ledger. Of items with the same content, the one with the lowest number is the first.
func (b *Builder) Ledger() *Ledger {
	slices.SortStableFunc(b.done, func(x, y done) int {
		return cmp.Or(slices.Compare(x.hash[:], y.hash[:]), cmp.Compare(x.seq, y.seq))
	})
	l := newLedger()
	i := Item{}
	for at, d := range b.done {
		switch {
		case at == 0 || d.hash != i.Hash:
			i = Item{Hash: d.hash, N: 1}
		case d.seq != b.done[at-1].seq:
			i.N++
		}
		l.set(i, d.seq, d.state)
	}
	b.done = nil
	return l
}
