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

func TestParseLimit(t *testing.T) {
	for in, want := range map[string]pacer.Limit{
		"10/s":                               pacer.Per(10, time.Second),
		"inf":                                pacer.Unlimited(),
		"none":                               {},
		"10/s,burst=5":                       pacer.Per(10, time.Second).WithBurst(5),
		"100/h,algorithm=sliding-window":     pacer.Per(100, time.Hour).With(pacer.SlidingWindow),
		"100/m,algorithm=token-bucket":       pacer.Per(100, time.Minute).With(pacer.TokenBucket),
		"5/m,burst=1,algorithm=token-bucket": pacer.Per(5, time.Minute).With(pacer.TokenBucket).WithBurst(1),
		"1000/d,align=day":                   pacer.Per(1000, 24*time.Hour).Aligned(pacer.AtDay, ""),
		"9/h,algorithm=fixed-window,align=hour,zone=Europe/Berlin": pacer.Per(9, time.Hour).Aligned(pacer.AtHour, "Europe/Berlin"),
		"1000/30d,align=month,zone=America/Lima":                   pacer.Per(1000, 720*time.Hour).Aligned(pacer.AtMonth, "America/Lima"),
	} {
		got, _, err := pacer.ParseLimit(in)
		if err != nil || got != want {
			t.Errorf("ParseLimit(%q) = %#v, %v", in, got, err)
		}
		if again, _, err := pacer.ParseLimit(got.String()); err != nil || again != got {
			t.Errorf("%q is %v, which is parsed as %#v, %v", in, got, again, err)
		}
	}
	for in, want := range map[string]string{
		"10":                                    `rate "10" has no unit of time: a rate is N/UNIT`,
		"10/s,":                                 `limit "10/s,", at position 6: unknown option ""`,
		"10/s,bust=5":                           `at position 6: unknown option "bust=5": behind a rate there may be algorithm=NAME, burst=N`,
		"10/s,burst=0":                          `at position 6: burst "0": it is a whole number, 1 or more`,
		"10/s,burst=3,burst=4":                  `at position 14: "burst" is given twice`,
		"10/s,algorithm=fast":                   `unknown algorithm "fast": it is one of paced, token-bucket, sliding-window, fixed-window`,
		"10/s,align=year":                       `unknown align "year": it is one of first-use, minute, hour, day, week, month`,
		"10/s,algorithm=sliding-window,burst=3": `burst=3 does not go with algorithm=sliding-window`,
		"10/s,align=day":                        `align=day does not go with 10 per 1s`,
		"10/d,align=day,zone=Mars/Olympus":      `zone "Mars/Olympus" is not known here: it is the name of a time zone, such as Europe/Berlin`,
		"10/d,align=day,zone=Local":             `zone "Local" is another one for each process that has the limit: give its name`,
		"10/d,zone=UTC":                         `they go with algorithm=fixed-window only, not with paced`,
		"10/d,algorithm=paced,align=day":        `they go with algorithm=fixed-window only`,
		"inf,burst=3":                           `nothing goes with inf`,
	} {
		if got, _, err := pacer.ParseLimit(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseLimit(%q) = %v, %v; want %q", in, got, err, want)
		}
	}
}

func FuzzParseLimit(f *testing.F) {
	for _, s := range []string{"10/s,burst=4", "100/h,algorithm=sliding-window", "5/d,align=day,zone=Europe/Berlin", "none", "1MiB/s,algorithm=token-bucket"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, _, err := pacer.ParseLimit(s)
		if err != nil {
			return
		}
		if l.Validate() != nil {
			t.Fatalf("%q is accepted as %#v", s, l)
		}
		if again, _, err := pacer.ParseLimit(l.String()); err != nil || !again.Equal(l) {
			t.Fatalf("%q is %v, which is parsed as %v, %v", s, l, again, err)
		}
	})
}
