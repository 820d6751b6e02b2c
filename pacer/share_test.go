package pacer

import (
	"testing"
	"time"
)

func TestShare(t *testing.T) {
	for _, c := range []struct {
		limit string
		n     int
		want  string
	}{
		{"50/s", 1, "50/s"},
		{"50/s", 5, "10/s"},
		{"50/s", 3, "50/3s"},
		{"1/100ms", 4, "1/400ms"},
		{"100/s,burst=20", 4, "25/s,burst=5"},
		{"100/s,burst=2", 4, "25/s,burst=1"},
		{"100/s,algorithm=token-bucket", 4, "25/s,algorithm=token-bucket"},
		{"100/h,algorithm=sliding-window", 3, "33/h,algorithm=sliding-window"},
		{"2/h,algorithm=sliding-window", 6, "1/3h,algorithm=sliding-window"},
		{"1000/d,algorithm=fixed-window,align=day", 10, "100/d,algorithm=fixed-window,align=day"},
		{"2/d,algorithm=fixed-window,align=day", 3, "1/2d,algorithm=sliding-window"},
		{"inf", 7, "inf"},
	} {
		l, _, err := ParseLimit(c.limit)
		if err != nil {
			t.Fatal(err)
		}
		want, _, err := ParseLimit(c.want)
		if err != nil {
			t.Fatal(err)
		}
		if got := (Limits{l}).Share(c.n); !got.Equal(Limits{want}) || got.Validate() != nil {
			t.Errorf("1/%d of %s is %v, want %s", c.n, c.limit, got, c.want)
		}
	}
}

// However n share it, what all of them are granted in any window is what the limit allows, but for the first one of each.
func TestShareKeepsTheLimit(t *testing.T) {
	for _, text := range []string{"7/s", "10/3s,burst=5", "100/h,algorithm=sliding-window", "3/m,algorithm=fixed-window", "9223372036854775807/h"} {
		l, _, err := ParseLimit(text)
		if err != nil {
			t.Fatal(err)
		}
		for n := 1; n < 40; n++ {
			part := (Limits{l}).Share(n)[0]
			if total, all := float64(part.Rate())*float64(n), float64(l.Rate()); total > all*(1+1e-12) {
				t.Errorf("%d times %v is more than %v", n, part, l)
			}
			if part.Per < time.Second && l.Per >= time.Second || part.most() > max(l.most()/int64(n), 1) {
				t.Errorf("1/%d of %v is %v", n, l, part)
			}
		}
	}
}
