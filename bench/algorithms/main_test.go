package main

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

// The runs in the picture are what the arithmetic says: no line was early, and none that was due is missing.
func TestThePictureIsWhatTheLimitsSay(t *testing.T) {
	picture, err := os.ReadFile("../../docs/algorithms.svg")
	if err != nil {
		t.Fatal(err)
	}
	runs := regexp.MustCompile(`<desc>(.*):(.*)</desc>`).FindAllStringSubmatch(string(picture), -1)
	if len(runs) != len(rows()) {
		t.Fatalf("%d runs, want those of %q: go run ./bench/algorithms > docs/algorithms.svg", len(runs), rows())
	}
	for i, name := range rows() {
		if runs[i][1] != name {
			t.Errorf("run %d is of %q, want %q", i, runs[i][1], name)
		}
		want := slots(t, name)
		for n, text := range strings.Fields(runs[i][2]) {
			at, err := strconv.ParseFloat(text, 64)
			if err != nil || n >= len(want) {
				t.Fatalf("%s: line %d at %q, of %d: %v", name, n, text, len(want), err)
			}
			// The clock of a run begins when the program is started: a little before that of the limit, and behind that of the calendar.
			early := time.Millisecond
			if strings.Contains(name, "align=") {
				early = 100 * time.Millisecond
			}
			if late := time.Duration(at*1e9) - want[n]; late < -early || late > time.Second {
				t.Errorf("%s: line %d came at %.3f s, and its slot is at %v", name, n, at, want[n])
			}
		}
		if n := len(strings.Fields(runs[i][2])); n < len(want) && want[n] < length-time.Second {
			t.Errorf("%s: line %d is missing, its slot is at %v", name, n, want[n])
		}
	}
}

// slots returns when the lines of a run are due.
func slots(t *testing.T, name string) (at []time.Duration) {
	var limits pacer.Limits
	for text := range strings.SplitSeq(name, " and ") {
		l, _, err := pacer.ParseLimit(text)
		if err != nil {
			t.Fatal(err)
		}
		limits = append(limits, l)
	}
	s := pacer.NewSchedule(limits...)
	s.SetWall(int64(phase))
	last := int64(0)
	for i := range asked + more {
		from := int64(0)
		if i >= asked {
			from = int64(then) + int64(i-asked)*int64(2*time.Second)
		}
		s.Take(max(from, last), 1)
		last, _ = s.Last()
		at = append(at, time.Duration(last))
	}
	return at
}
