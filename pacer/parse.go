package pacer

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// Unit is what a rate counts.
type Unit int

// The units of a rate.
const (
	Events Unit = iota // grants: lines, commands, calls
	Bytes
)

// ParseRate parses a rate, N/UNIT: 10/s, 100/m, 5000/h, 1000/d, 0.5/s, 2/10s, or inf. N may be a decimal fraction. UNIT is
// s, m, h or d, or a duration as time.ParseDuration takes it. With a suffix of B, KB, MB, GB (powers of 1000) or KiB,
// MiB, GiB (powers of 1024), N counts bytes: 500KB/s, 1MiB/s.
func ParseRate(s string) (Limit, Unit, error) {
	if s == "inf" || s == "unlimited" {
		return Unlimited(), Events, nil
	}
	count, unit, ok := strings.Cut(s, "/")
	if !ok {
		return badRate(s, "has no unit of time")
	}
	per, err := parsePer(unit)
	if err != nil {
		return badRate(s, err.Error())
	}
	number := strings.TrimRight(count, "BKMGTi")
	factor, known := byteUnits(count[len(number):])
	if !known {
		return badRate(s, fmt.Sprintf("has an unknown unit of bytes %q", count[len(number):]))
	}
	what := Events
	if number != count {
		what = Bytes
	}
	n, err := parseDecimal(number)
	if err != nil {
		return badRate(s, err.Error())
	}
	n.Mul(n, new(big.Rat).SetInt64(factor))
	// n = a/b events per period are a events per b periods.
	total := new(big.Int).Mul(n.Denom(), big.NewInt(int64(per)))
	if !n.Num().IsInt64() || !total.IsInt64() {
		return badRate(s, "is out of range")
	}
	return Limit{Events: n.Num().Int64(), Per: time.Duration(total.Int64())}, what, nil
}

func badRate(s, why string) (Limit, Unit, error) {
	return Limit{}, 0, fmt.Errorf("rate %q %s: a rate is N/UNIT such as 10/s, 100/m, 5000/h, 0.5/s or 2/10s, in bytes 500KB/s or 1MiB/s, or inf", s, why)
}

// ParseLimit parses a rate as ParseRate does, with options behind it, each once:
//
//	algorithm=paced|token-bucket|sliding-window|fixed-window
//	burst=N               of a bucket
//	align=first-use|minute|hour|day|week|month, zone=Europe/Berlin
//	                      when fixed windows begin; with an align alone the algorithm is fixed-window
//
// 100/h,algorithm=sliding-window is a limit, and so are 10/s,burst=5 and 1000/d,align=day. None allows no events.
func ParseLimit(s string) (Limit, Unit, error) {
	parts := strings.Split(s, ",")
	var l Limit
	unit := Events
	if parts[0] != "none" {
		var err error
		if l, unit, err = ParseRate(parts[0]); err != nil {
			return Limit{}, 0, err
		}
	}
	at := len(parts[0]) + 1
	given := map[string]bool{}
	for _, part := range parts[1:] {
		name, value, _ := strings.Cut(part, "=")
		bad := func(why string) (Limit, Unit, error) {
			return Limit{}, 0, fmt.Errorf("limit %q, at position %d: %s", s, at+1, why)
		}
		if given[name] {
			return bad(fmt.Sprintf("%q is given twice", name))
		}
		given[name] = true
		var err error
		switch name {
		case "algorithm":
			l.Algorithm, err = ParseAlgorithm(value)
		case "burst":
			if l.Burst, err = strconv.ParseInt(value, 10, 64); err != nil || l.Burst < 1 {
				return bad(fmt.Sprintf("burst %q: it is a whole number, 1 or more", value))
			}
		case "align":
			l.Align, err = ParseAlign(value)
		case "zone":
			l.Zone = value
		default:
			return bad(fmt.Sprintf("unknown option %q: behind a rate there may be algorithm=NAME, burst=N, align=first-use|minute|hour|day|week|month and zone=NAME",
				part))
		}
		if err != nil {
			return bad(err.Error())
		}
		at += len(part) + 1
	}
	if given["align"] && !given["algorithm"] {
		l.Algorithm = FixedWindow
	}
	if l.IsUnlimited() && len(parts) > 1 {
		return Limit{}, 0, fmt.Errorf("limit %q: nothing goes with inf, which has no limit", s)
	}
	if err := l.Validate(); err != nil {
		return Limit{}, 0, fmt.Errorf("limit %q: %w", s, err)
	}
	return l, unit, nil
}

// ParseEvery parses the interval between two events: 100ms, 1.5s, 2m, 1h30m, 1d.
func ParseEvery(s string) (Limit, error) {
	d, err := parseDuration(s)
	if err != nil {
		return Limit{}, fmt.Errorf("interval %q %w: an interval is a number with a unit such as 100ms, 1.5s, 2m or 1h", s, err)
	}
	return Every(d), nil
}

var (
	errNotPositive = errors.New("is not above 0")
	errNoNumber    = errors.New("is not a number")
	errNoDuration  = errors.New("is not a time with its unit")
)

// parsePer parses the part behind the slash.
func parsePer(s string) (time.Duration, error) {
	switch s {
	case "us", "ms", "s", "m", "h", "d":
		return parseDuration("1" + s)
	case "sec", "second":
		return time.Second, nil
	case "min", "minute":
		return time.Minute, nil
	case "hour":
		return time.Hour, nil
	case "day":
		return day, nil
	case "":
		return 0, errors.New("has no unit of time")
	}
	d, err := parseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("has a unit of time %q that %w", s, err)
	}
	return d, nil
}

// parseDuration is time.ParseDuration, for times above 0, with days.
func parseDuration(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := parseDecimal(days)
		if err != nil {
			return 0, err
		}
		n.Mul(n, new(big.Rat).SetInt64(int64(day)))
		if f, _ := n.Float64(); f > math.MaxInt64/2 || f < 1 {
			return 0, errors.New("is out of range")
		}
		return time.Duration(new(big.Int).Quo(n.Num(), n.Denom()).Int64()), nil
	}
	d, err := time.ParseDuration(s)
	switch {
	case err != nil:
		return 0, errNoDuration
	case d <= 0:
		return 0, errNotPositive
	}
	return d, nil
}

// maxDecimal bounds the digits of a number: more would only cost time.
const maxDecimal = 24

func parseDecimal(s string) (*big.Rat, error) {
	if s == "" || len(s) > maxDecimal || strings.Trim(s, "0123456789.") != "" {
		return nil, errNoNumber
	}
	n, ok := new(big.Rat).SetString(s)
	if !ok {
		return nil, errNoNumber
	}
	if n.Sign() <= 0 {
		return nil, errNotPositive
	}
	return n, nil
}

func byteUnits(s string) (factor int64, ok bool) {
	switch s {
	case "", "B":
		return 1, true
	case "KB":
		return 1e3, true
	case "MB":
		return 1e6, true
	case "GB":
		return 1e9, true
	case "TB":
		return 1e12, true
	case "KiB":
		return 1 << 10, true
	case "MiB":
		return 1 << 20, true
	case "GiB":
		return 1 << 30, true
	case "TiB":
		return 1 << 40, true
	}
	return 0, false
}
