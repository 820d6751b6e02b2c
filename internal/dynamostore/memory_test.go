package dynamostore

import (
	"context"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

// A memory is a table that is not one: as fast as it gets, with a clock of ours.
type memory struct {
	mu            sync.Mutex
	items         map[string]map[string]Value
	calls, writes int
	// tells says that a condition that does not hold brings the item, as DynamoDB does.
	tells bool
	fault func(Request) error // after it was carried out
	date  func() time.Time    // nil tells no time
	takes time.Duration       // there, and back
}

func newMemory() *memory { return &memory{items: map[string]map[string]Value{}, tells: true} }

func (m *memory) dial(context.Context, Address) (Client, error) { return m, nil }

func (*memory) Close() error { return nil }

func (m *memory) Do(_ context.Context, r Request) (Response, error) {
	pass(m.takes)
	defer pass(m.takes)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls++
	if r.Op == OpUpdate {
		m.writes++
	}
	response := m.do(r)
	if m.date != nil {
		response.Date = m.date().Truncate(time.Second)
	}
	if m.fault != nil {
		if err := m.fault(r); err != nil {
			return Response{}, err
		}
	}
	return response, nil
}

func (m *memory) do(r Request) (response Response) {
	old := m.items[r.Key]
	switch r.Op {
	case OpGet:
		response.Item = maps.Clone(old)
		return response
	case OpScan:
		for k := range m.items {
			if strings.HasPrefix(k, r.Key) {
				response.Keys = append(response.Keys, k)
			}
		}
		return response
	case OpUpdate, OpDelete:
	case OpDescribe, OpCreate, OpExpire:
		return response
	}
	for name, want := range r.If {
		got, ok := old[name]
		if want == nil && ok || want != nil && (!ok || !same(got, *want)) {
			response.Failed = true
		}
	}
	if _, ok := old[r.Has]; r.Has != "" && !ok {
		response.Failed = true
	}
	if response.Failed {
		if m.tells {
			response.Item = maps.Clone(old)
		}
		return response
	}
	if r.Op == OpDelete {
		delete(m.items, r.Key)
		return response
	}
	item := maps.Clone(old)
	if item == nil {
		item = map[string]Value{attrKey: Chars(r.Key)}
	}
	maps.Copy(item, r.Set)
	for _, name := range r.Remove {
		delete(item, name)
	}
	m.items[r.Key] = item
	if r.After {
		response.Item = maps.Clone(item)
	}
	return response
}

func same(a, b Value) bool {
	switch {
	case a.S != nil && b.S != nil:
		return *a.S == *b.S
	case a.N != nil && b.N != nil:
		return *a.N == *b.N
	}
	return a.S == nil && b.S == nil && a.N == nil && b.N == nil && string(a.B) == string(b.B)
}

func (m *memory) open(t testing.TB, key string, o Options) *Store {
	t.Helper()
	o.Dial = m.dial
	s, err := Open(context.Background(), "dynamodb://table", key, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func reserve(t testing.TB, s *Store) *Reservation {
	t.Helper()
	r, err := s.Reserve(context.Background(), 1)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func every(d time.Duration) pacer.Limits { return pacer.Limits{pacer.Every(d)} }

// pass lets time pass.
func pass(d time.Duration) {
	if d > 0 {
		<-time.After(d)
	}
}
