package lockfile

import "errors"

// A queue is where those who wait are in the file, as far as an open file has read it: what is there need not be read
// again.
type queue struct {
	ring    int
	first   uint64 // the position of the first entry
	entries []entry
}

func (q *queue) end() uint64 { return q.first + uint64(len(q.entries)) }

// readQueue reads the entries of a record: the grants, and of those who wait the ones that came since we last looked.
func (t *tx) readQueue() error {
	f, r := t.f, &t.record
	if r.grantedLen == 0 && r.waitingLen == 0 && r.grantedSum == 0 && r.waitingSum == 0 { // as a rule
		f.known.ring, f.known.first, f.known.entries = r.ring, r.first, nil
		return nil
	}
	most := grantsMost(r.size)
	b := t.page[int(recordAt(t.side))+r.size:][:min(int(r.grantedLen), most)*entrySize]
	if int(r.grantedLen) > most {
		var err error
		if b, err = t.readBytes(int(r.grantedLen)*entrySize, grantedAt(t.side)); err != nil {
			return err
		}
	}
	granted, bad := r.parseGranted(b)
	known := f.known
	if known.ring != r.ring || known.first > r.first || known.end() < r.first || known.end() > r.first+uint64(r.waitingLen) {
		known = queue{ring: r.ring, first: r.first}
	}
	known.entries, known.first = known.entries[r.first-known.first:], r.first
	for bad == nil {
		waiting, err := t.readRing(known, int(r.waitingLen))
		if err == nil {
			err = r.setEntries(granted, waiting)
		}
		switch {
		case err == nil:
			known.entries = waiting
			f.known = known
			return nil
		case !errors.Is(err, errDamaged):
			return err
		case len(known.entries) == 0:
			bad = err
		}
		known.entries = nil // it may be of another time, such as before damage
	}
	f.known = known
	t.forget()
	t.write = true
	t.note("its queue is damaged: those who wait ask again")
	return nil
}

// readRing returns n entries, the first of which are known.
func (t *tx) readRing(known queue, n int) ([]entry, error) {
	f := t.f
	entries := known.entries
	if len(entries) == 0 && n > 0 {
		if cap(f.entries) < n {
			f.entries = make([]entry, 0, n+n/4+1) // more may come
		}
		entries = f.entries[:0]
	}
	for at := known.end(); len(entries) < n; {
		i := int(at % queueMost)
		k := min(n-len(entries), queueMost-i)
		b, err := t.readBytes(k*entrySize, ringAt(known.ring)+int64(i*entrySize))
		if err != nil {
			return nil, err
		}
		before := len(entries)
		entries, err = parseEntries(entries, b)
		switch {
		case err != nil:
			return nil, err
		case len(entries) < before+k: // the end of the file
			return nil, errDamaged
		}
		at += uint64(k)
	}
	return entries, nil
}

// readBytes reads n bytes, or fewer at the end of the file. They are good until the next call.
func (t *tx) readBytes(n int, at int64) ([]byte, error) {
	if n == 0 {
		return nil, nil
	}
	if cap(t.buffer) < n {
		t.buffer = make([]byte, 2*n)
	}
	n, err := t.f.h.readAt(t.buffer[:n], at)
	return t.buffer[:n], err
}

// writeQueue writes those who wait where nothing is in force, and leaves what is: the queue as it was read.
func (t *tx) writeQueue() error {
	f := t.f
	inForce := &f.known
	end := t.first + uint64(len(t.waiting))
	from := inForce.end() // those behind are new
	switch {
	case t.reshaped, end-inForce.first > queueMost:
		t.ring = 1 - inForce.ring
		t.first = ringStart(max(end, from))
		from = t.first
	case len(inForce.entries) == 0: // at the start of the ring, or a queue that is never long would use all of it
		t.first = ringStart(t.first)
		from = t.first
	}
	b := t.buffer[:0]
	for i := range t.waiting[from-t.first:] {
		b = t.waiting[int(from-t.first)+i].put(b)
	}
	t.buffer = b[:0]
	for len(b) > 0 {
		i := int(from % queueMost)
		k := min(len(b)/entrySize, queueMost-i)
		if err := f.h.writeAt(b[:k*entrySize], ringAt(t.ring)+int64(i*entrySize)); err != nil {
			return err
		}
		from += uint64(k)
		b = b[k*entrySize:]
	}
	return nil
}

// ringStart returns the first position from p on that is at the start of a ring.
func ringStart(p uint64) uint64 { return (p + queueMost - 1) / queueMost * queueMost }
