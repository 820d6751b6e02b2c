package lockfile

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

// FuzzDecode checks that no bytes make the decoder panic, and that what it takes for a state is the bytes of that state.
// With sum the checksums are made right first, so that what is behind them is reached.
func FuzzDecode(f *testing.F) {
	s := newState([16]byte{1, 2, 3})
	add := func(key string) {
		page := newPage(key, &s, 6, 3)
		waiting := putWaiting(&s)
		b, granted := s.put(make([]byte, recordRoom), 8, nil)
		f.Add(page[:keyAt+KeyMax], b, granted, waiting, true)
		f.Add(page[:keyAt+len(key)], b, granted, waiting, false)
	}
	add("key")
	s.setLimit(5, pacer.Per(3, time.Second).WithBurst(2))
	s.take(7, 2)
	add("")
	for n := range uint32(5) {
		if _, err := s.enqueue(10+int64(n), n+1, 9, 4711); err != nil {
			f.Fatal(err)
		}
	}
	s.settle(int64(time.Second), func(entry) bool { return true })
	add("key")
	for range 2 {
		s.alg.Throttled(2e9, 2e9, pacer.Feedback{After: time.Second, Adaptive: true}, 0)
		add("key")
		s.take(20e9, 1)
	}
	add("key")
	s.alg.SetPaused(21e9, true)
	s.setLimit(21e9, pacer.Limit{})
	s.retired = true
	add("key")
	s.setLimits(22e9, pacer.Limits{
		pacer.Per(3, time.Second).With(pacer.SlidingWindow), pacer.Per(2, time.Hour).With(pacer.FixedWindow), pacer.Per(9, 24*time.Hour).Aligned(pacer.AtDay, "Europe/Berlin"),
		pacer.Per(5, time.Minute).With(pacer.TokenBucket),
	})
	add("key")
	s.alg.SetPaused(22e9, false)
	s.take(23e9, 1)
	add("key")

	f.Fuzz(func(t *testing.T, head, b, granted, waiting []byte, sum bool) {
		if sum && len(head) >= keyAt+KeyMax && len(b) >= rSchedule {
			binary.LittleEndian.PutUint32(head[headSumAt:], headerSum(head))
			seal(granted)
			binary.LittleEndian.PutUint32(b[rGrantedSum:], checksum(granted))
			binary.LittleEndian.PutUint64(b[rWaitingSum:], seal(waiting))
			binary.LittleEndian.PutUint32(b[rLen:], uint32(len(b)))
			binary.LittleEndian.PutUint32(b[rSum:], checksum(b[rGrantedSum:]))
		}
		if key, err := parseHeader(head); err == nil {
			again := make([]byte, pageSize)
			putHeader(again, key)
			copy(again[wakeAt:wakeAt+4], head[wakeAt:])
			if !bytes.Equal(again[:keyAt+KeyMax], head[:keyAt+KeyMax]) {
				t.Errorf("the header of %q is other bytes", key)
			}
		}
		var r record
		if len(b) > recordRoom || r.parseAll(b, granted, waiting) != nil {
			return
		}
		w := putWaiting(&r.state)
		if again, g := r.put(make([]byte, recordRoom), r.seq, nil); !bytes.Equal(again, b) || !bytes.Equal(g, granted) || !bytes.Equal(w, waiting) {
			t.Errorf("a state is other bytes after it was read")
		}
		// Nothing in it makes the machine panic.
		for _, now := range []int64{r.bootAt, r.bootAt + int64(time.Hour)} {
			r.rebase(now, 0, [16]byte{})
			r.settle(now, func(e entry) bool { return e.ticket%3 != 0 })
			r.slotBehind(now, 1)
			r.alg.Throttled(now, now, pacer.Feedback{Adaptive: true}, 1<<63)
			r.slotBehind(now, 1)
			r.alg.Effective(now)
			r.alg.Restrict(now, pacer.Limits{pacer.Per(7, time.Second)})
			r.alg.Cool(now, time.Minute)
			r.alg.SetPaused(now, !r.alg.Paused())
			r.slotBehind(now+int64(time.Minute), 1)
			r.setLimit(now, pacer.Per(7, time.Second))
		}
	})
}

// seal makes the checksums of entries right, and returns their sum.
func seal(b []byte) (sum uint64) {
	for ; len(b) >= entrySize; b = b[entrySize:] {
		s := checksum(b[:entrySize-4])
		binary.LittleEndian.PutUint32(b[entrySize-4:], s)
		sum += uint64(s)
	}
	return sum
}
