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
		var b [recordSize]byte
		queue := s.put(b[:], 8, nil)
		f.Add(page[:keyAt+KeyMax], b[:], queue, true)
		f.Add(page[:keyAt+len(key)], b[:], queue, false)
	}
	add("key")
	s.setLimit(5, pacer.Per(3, time.Second).WithBurst(2))
	s.take(7, 2)
	add("")
	for n := range uint32(5) {
		if _, err := s.enqueue(10+int64(n), n+1, 4711); err != nil {
			f.Fatal(err)
		}
	}
	s.settle(int64(time.Second), func(uint64) bool { return true })
	add("key")
	s.setLimit(int64(time.Second), pacer.Limit{})
	s.retired = true
	add("key")

	f.Fuzz(func(t *testing.T, head, b, queue []byte, sum bool) {
		if sum && len(head) >= keyAt+KeyMax && len(b) >= recordSize {
			binary.LittleEndian.PutUint32(head[headSumAt:], headerSum(head))
			binary.LittleEndian.PutUint32(b[rQueueSum:], checksum(queue))
			binary.LittleEndian.PutUint32(b[rSum:], checksum(b[rQueueSum:recordSize]))
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
		if r.parse(b) != nil || r.parseQueue(queue) != nil {
			return
		}
		var again [recordSize]byte
		if q := r.put(again[:], r.seq, nil); !bytes.Equal(again[:], b[:recordSize]) || !bytes.Equal(q, queue) {
			t.Errorf("a state is other bytes after it was read")
		}
		// Nothing in it makes the machine panic.
		for _, now := range []int64{r.bootAt, r.bootAt + int64(time.Hour)} {
			r.rebase(now, 0, [16]byte{})
			r.settle(now, func(ticket uint64) bool { return ticket%3 != 0 })
			r.slotBehind(now, 1)
			r.setLimit(now, pacer.Per(7, time.Second))
		}
	})
}
