package journal

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// What is read fast is JSON, and is read as it is slowly.
func FuzzRow(f *testing.F) {
	for _, row := range []string{
		`{"type":"start","time":"x","item":"2cf24dba5fb0a30e26e83b2ac5b9e29e","n":1,"seq":3,"attempt":1,"slot":2,"waited":1.2,"input":"hello \"\u00ff"}`,
		`{"type":"end","item":"2cf24dba5fb0a30e26e83b2ac5b9e29e","n":1,"seq":3,"outcome":"ok","exit":0,"signal":-1,"cut":true}`,
		`{"type":"run","format":1,"pid":7,"resume":false,"command":["a","b"]}`,
		`{"a":0,"b":null,"type":"t\u0079pe"}`, `{}`, `{"n":01}`, `{"n":1.}`, "{\"a\":\"\x01\"}", `{"type":"x"}}`, `{"type":"x",}`,
	} {
		f.Add([]byte(row))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		var fast, slow rawRow
		if !fast.scan(line) {
			return
		}
		if !json.Valid(line) || !slow.decode(line) {
			t.Fatalf("%q is no JSON", line)
		}
		a, okA := fast.row()
		b, okB := slow.row()
		if a != b || okA != okB {
			t.Fatalf("%q is read as %+v, %v, and slowly as %+v, %v", line, a, okA, b, okB)
		}
	})
}

func TestRowsAreReadFast(t *testing.T) {
	var w rawRow
	start := appendStart(nil, &Start{Item: Item{N: 1}, Seq: 1, Attempt: 1, Key: "k", Input: []byte("a\n\x00é\"")})
	end := appendEnd(nil, &End{Item: Item{N: 1}, Seq: 1, Attempt: 1, Outcome: OK, Signal: 1, RetryAfter: time.Second})
	for _, line := range [][]byte{start, end, appendStop(nil, &Stop{})} {
		if !w.scan(line[:len(line)-1]) {
			t.Errorf("not %s", line)
		}
	}
}

func BenchmarkJob(b *testing.B) {
	j, err := Open(filepath.Join(b.TempDir(), "j"), Options{})
	if err != nil {
		b.Fatal(err)
	}
	input := []byte("https://example.com/a/path?id=12345")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for n := 1; pb.Next(); n++ {
			i := j.Ledger().Item(input)
			now := time.Now()
			err := j.Start(Start{Item: i, Seq: n, Attempt: 1, Slot: 1, Time: now, Waited: 1234567, Input: input})
			if err == nil {
				err = j.End(End{Item: i, Seq: n, Attempt: 1, Time: now, Ran: 1234567, Outcome: OK, Stdout: 42})
			}
			if err != nil {
				b.Error(err)
			}
		}
	})
	if err := j.Close(); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkOpen(b *testing.B) {
	path := filepath.Join(b.TempDir(), "j")
	var rows []byte
	rows = appendRun(rows, Options{}, 1)
	l := newLedger()
	const items = 100_000
	for n := range items {
		input := fmt.Appendf(nil, "https://example.com/a/path?id=%d", n)
		i := l.Item(input)
		rows = appendStart(rows, &Start{Item: i, Seq: n + 1, Attempt: 1, Slot: 1, Input: input})
		rows = appendEnd(rows, &End{Item: i, Seq: n + 1, Attempt: 1, Outcome: OK})
	}
	if err := os.WriteFile(path, rows, 0o600); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(rows)))
	b.ReportAllocs()
	for b.Loop() {
		j, err := Open(path, Options{Resume: true})
		if err != nil || j.Ledger().MaxSeq() != items {
			b.Fatal(err)
		}
		_ = j.Close()
	}
}
