package dynamostore

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

// busyState returns a state with all that one may have.
func busyState(seed uint64) *state {
	r := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // to be repeated
	s := &state{limited: true, bytes: seed%2 == 0, seen: 1e18 + r.Int64N(1e17), amnesty: r.Int64N(2e18), alg: pacer.NewSchedule(randomLimits(r)...)}
	s.turn = s.seen - r.Int64N(1e10)
	owners := make([]owner, 1+r.IntN(4))
	for i := range owners {
		owners[i] = owner{byte(i), byte(r.Uint32())}
	}
	for i := range r.IntN(20) {
		e := entry{owner: owners[r.IntN(len(owners))], number: uint64(i), pid: r.Uint32(), cost: 1 + r.Int64N(5), at: s.seen - r.Int64N(1e10)}
		s.waiting = append(s.waiting, e)
	}
	s.settle(s.seen)
	if r.IntN(2) == 0 {
		s.alg.Cool(s.seen, time.Minute)
	}
	return s
}

func TestStateIsReadAsWritten(t *testing.T) {
	for seed := range uint64(300) {
		s := busyState(seed)
		b := s.encode()
		got, err := decode(b)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if !bytes.Equal(got.encode(), b) {
			t.Fatalf("seed %d: it is not what was written", seed)
		}
		for i := range len(s.waiting) + 1 { // with what sliding windows remember
			want, ok := s.fold(s.seen, i, 1)
			if at, found := got.fold(s.seen, i, 1); at != want || ok != found {
				t.Fatalf("seed %d: the slot behind %d is %d, %v; want %d, %v", seed, i, at, found, want, ok)
			}
		}
	}
}

// A bit that has changed is found out.
func TestStateDamaged(t *testing.T) {
	b := busyState(1).encode()
	for i := range b {
		bad := bytes.Clone(b)
		bad[i] ^= 0x10
		if _, err := decode(bad); err == nil {
			t.Fatalf("byte %d", i)
		}
		if _, err := decode(b[:i]); err == nil {
			t.Fatalf("cut at %d", i)
		}
	}
}

// Whatever is read can be computed with, and is written as it was.
func FuzzState(f *testing.F) {
	for seed := range uint64(20) {
		b := busyState(seed).encode()
		f.Add(b[len(magic) : len(b)-sumSize])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		s, err := parse(body)
		if err != nil {
			return
		}
		b := s.encode()
		again, err := decode(b)
		if err != nil || !bytes.Equal(again.encode(), b) {
			t.Fatalf("%v", err)
		}
		if again.lasts(1e18) < 0 {
			t.Error("it ends before 1970")
		}
	})
}

func FuzzItem(f *testing.F) {
	f.Add("v", []byte("version"), busyState(3).encode(), int64(5))
	f.Add("h0102030405060708090a0b0c", []byte{}, []byte(magic), int64(-1))
	f.Fuzz(func(t *testing.T, name string, version, body []byte, n int64) {
		it, err := itemOf(map[string]Value{attrVersion: Bytes(version), attrState: Bytes(body), name: Number(n)})
		if err != nil {
			return
		}
		for o, at := range it.beats {
			if o.attr() != name && len(name) == len(o.attr()) && at == n && !bytes.EqualFold([]byte(o.attr()), []byte(name)) {
				t.Errorf("%q is the attribute of %q", name, o.attr())
			}
		}
		_, _ = decode(it.state)
	})
}

func FuzzParseURL(f *testing.F) {
	f.Add("dynamodb://throttle?region=eu-west-1&endpoint=http://localhost:8000&profile=p")
	f.Add("dynamodb://abc")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := ParseURL(text)
		if err != nil {
			return
		}
		if again, err := ParseURL(a.String()); err != nil || again != a {
			t.Errorf("%q is %+v, and %q is %+v, %v", text, a, a, again, err)
		}
	})
}

func TestSizeOfAState(t *testing.T) {
	s := &state{limited: true, seen: 1e18, alg: pacer.NewSchedule(pacer.Per(10, time.Second))}
	empty := len(s.encode())
	for i := range 100 {
		s.waiting = append(s.waiting, entry{owner: owner{byte(i)}, number: 1000, pid: 1 << 20, cost: 1, at: 1e18 + int64(i)*1e8})
	}
	each := (len(s.encode()) - empty) / 100
	t.Logf("%d bytes, and %d for one who waits", empty, each)
	if empty > 200 || each > 40 {
		t.Error("docs/dynamodb.md says less")
	}
	window := &state{seen: 1e18, alg: pacer.NewSchedule(pacer.Per(10_000, time.Hour).With(pacer.SlidingWindow))}
	for i := range 10_000 {
		window.alg.Take(1e18+int64(i)*1e8, 1)
	}
	b := window.encode()
	t.Logf("%d bytes for a window with 10,000 grants", len(b))
	if got, err := decode(b); err != nil || binary.Size(b) > 80_000 {
		t.Errorf("%v, %v", got.limited, err)
	}
}
