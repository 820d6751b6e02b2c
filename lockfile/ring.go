package lockfile

import (
	"encoding/binary"

	"github.com/throttle-cli/throttle/pacer"
)

// What a sliding window remembers is in a ring of its own, one for each limit of a key. The newest run is in the record; those
// before it are in the ring, where the position of a run, which counts up, says its place. A run is written when there is one
// behind it, and not again, so that a grant costs the same however many there are. A place is used again when what was
// there has long left the window: there are more than twice as many as runs.
//
// A ring that begins anew, as the limits have changed or the file was damaged, begins at positions that were never used, and at a
// place where nothing is in force.
const (
	ringPlaces = 2 * pacer.RunsMost
	runSize    = 24
	ringSize   = ringPlaces * runSize
)

func windowAt(limit int) int64 { return pageSize + 4*queueSize + ringSize*int64(limit) }

// windows are the rings of the state in force, and what of them is in the file.
type windows struct {
	any  bool // otherwise there never were any
	ring [pacer.LimitsMost]*pacer.Ring
	end  [pacer.LimitsMost]uint64 // the position of the newest run, which is not in the ring; that of the last ring where there is none
}

// forget has all of the rings read anew. Which positions were used it knows still.
func (w *windows) forget() { w.ring = [pacer.LimitsMost]*pacer.Ring{} }

// putRun appends a run to b as runSize bytes.
func putRun(b []byte, at uint64, slot, units int64) []byte {
	from := len(b)
	b = binary.LittleEndian.AppendUint64(b, uint64(slot))
	b = binary.LittleEndian.AppendUint64(b, uint64(units))
	b = binary.LittleEndian.AppendUint32(b, uint32(at))
	return binary.LittleEndian.AppendUint32(b, checksum(b[from:]))
}

func parseRun(b []byte, at uint64) (slot, units int64, ok bool) {
	if binary.LittleEndian.Uint32(b[20:]) != checksum(b[:20]) || binary.LittleEndian.Uint32(b[16:]) != uint32(at) {
		return 0, 0, false
	}
	return int64(binary.LittleEndian.Uint64(b)), int64(binary.LittleEndian.Uint64(b[8:])), true
}

// readWindows reads what the sliding windows remember: what came since we last looked. It reports whether it is intact.
func (t *tx) readWindows() (intact bool, err error) {
	f := t.f
	if !f.windows.any && !t.alg.HasRing() {
		return true, nil
	}
	intact = true
	known := f.windows
	f.windows = windows{any: true, end: known.end}
	for i := range t.alg.Len() {
		r := t.alg.Ring(i)
		if r == nil {
			continue
		}
		from, to := t.alg.Recall(i, known.ring[i])
		anew := from < to && known.ring[i] == nil
		ok, err := t.readRuns(r, i, from, to)
		if err != nil {
			return false, err
		}
		if !ok || anew && !r.Sound() {
			t.alg.Forget(i)
			intact = false
			continue
		}
		_, end := r.Span()
		f.windows.ring[i], f.windows.end[i] = r, max(end, 1)-1
	}
	return intact, nil
}

// readRuns gives a ring its runs.
func (t *tx) readRuns(r *pacer.Ring, limit int, from, to uint64) (ok bool, err error) {
	for from < to {
		place := from % ringPlaces
		n := min(to-from, ringPlaces-place)
		b, err := t.readBytes(int(n)*runSize, windowAt(limit)+int64(place)*runSize)
		if err != nil || len(b) < int(n)*runSize {
			return false, err
		}
		for ; len(b) > 0; b = b[runSize:] {
			slot, units, ok := parseRun(b, from)
			if !ok || !r.Put(from, slot, units) {
				return false, nil
			}
			from++
		}
	}
	return true, nil
}

// writeWindows writes the runs that are not in the file yet where nothing is in force.
func (t *tx) writeWindows() error {
	f := t.f
	if !f.windows.any && !t.alg.HasRing() {
		return nil
	}
	inForce := f.windows
	f.windows.any = true
	for i := range t.alg.Len() {
		r := t.alg.Ring(i)
		if r == nil {
			continue
		}
		from := inForce.end[i]
		if r != inForce.ring[i] {
			from = inForce.next(i, t.now)
			r.Rebase(from)
		}
		_, end := r.Span()
		if err := t.writeRuns(r, i, from, max(end, 1)-1); err != nil {
			return err
		}
		f.windows.ring[i], f.windows.end[i] = r, max(end, 1)-1
	}
	return nil
}

// next returns the position from which a ring begins anew: none that was ever used, since more nanoseconds go by than runs are
// written, and one in whose place nothing is in force.
func (w *windows) next(limit int, now int64) uint64 {
	last := uint64(max(now, 0))
	for i := range w.end {
		last = max(last, w.end[i])
	}
	place := (w.end[limit] + 1) % ringPlaces
	return (last/ringPlaces+2)*ringPlaces + place
}

func (t *tx) writeRuns(r *pacer.Ring, limit int, from, to uint64) error {
	for from < to {
		place := from % ringPlaces
		n := min(to-from, ringPlaces-place)
		b := t.buffer[:0]
		for range n {
			slot, units := r.Run(from)
			b = putRun(b, from, slot, units)
			from++
		}
		t.buffer = b[:0]
		if err := t.f.h.writeAt(b, windowAt(limit)+int64(place)*runSize); err != nil {
			return err
		}
	}
	return nil
}
