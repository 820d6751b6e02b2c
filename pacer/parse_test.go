package pacer_test

import (
	"strings"
	"testing"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

func TestParseRate(t *testing.T) {
	for s, want := range map[string]pacer.Limit{
		"10/s":   pacer.Per(10, time.Second),
		"100/m":  pacer.Per(100, time.Minute),
		"2/10s":  pacer.Per(2, 10*time.Second),
		"0.5/s":  pacer.Per(1, 2*time.Second),
		"2.5/s":  pacer.Per(5, 2*time.Second),
		"1/d":    pacer.Per(1, 24*time.Hour),
		"inf":    pacer.Unlimited(),
		"1MiB/s": pacer.Per(1<<20, time.Second),
		"1KB/ms": pacer.Per(1000, time.Millisecond),
	} {
		got, unit, err := pacer.ParseRate(s)
		if err != nil || got != want || (unit == pacer.Bytes) != strings.Contains(s, "B") {
			t.Errorf("ParseRate(%q) = %v, %v, %v; want %v", s, got, unit, err, want)
		}
	}
	for _, s := range []string{"", "10", "/s", "10/", "0/s", "-1/s", "1e9/s", "NaN/s", "10 /s", "10/ s", "10K/s", "10/0s", "10/x", "99999999999999999999/s", "1/-1s"} {
		if got, _, err := pacer.ParseRate(s); err == nil || !strings.Contains(err.Error(), "a rate is N/UNIT") {
			t.Errorf("ParseRate(%q) = %v, %v; want an error that shows what is accepted", s, got, err)
		}
	}
}

func FuzzParseRate(f *testing.F) {
	for _, s := range []string{"10/s", "0.5/m", "2/1m30s", "1MiB/s", "inf", "1/0.5d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, _, err := pacer.ParseRate(s)
		if err != nil {
			return
		}
		if l.Events < 1 || l.Per < 0 || l.Validate() != nil {
			t.Fatalf("%q is accepted as %#v", s, l)
		}
		if again, _, err := pacer.ParseRate(l.String()); err != nil || again != l {
			t.Fatalf("%q is %v, which is parsed as %v, %v", s, l, again, err)
		}
	})
}
