package progress

import (
	"slices"
	"strconv"
	"strings"
)

// A field is a part of the bar.
type field struct {
	text  string
	rank  int // the higher, the sooner it is dropped
	color string
	close bool // to the one before it
}

const (
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	plain  = "\x1b[m"
)

const (
	// graph is the place of the field that takes the room that the others leave.
	graph = 2
	// The columns it takes.
	minGraph, maxGraph = 8, 42
	// wide is from how many columns on there are two spaces between fields.
	wide = 50
)

// Bar returns the state as a line of at most width columns. What matters least is dropped first where there is little
// room. All of it is ASCII, so that no terminal takes it for wider; with color, there are sequences that change that.
//
//	122/500  24%  [====>              ]  19.8/s of 20/s  4 in flight  2 failed  6s  ETA 19s
func (s State) Bar(width int, color bool) string {
	fields := s.fields()
	space := 1
	if width >= wide {
		space = 2
	}
	order := make([]int, 0, len(fields))
	for i, f := range fields {
		if f.text != "" {
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(i, j int) int { return fields[i].rank - fields[j].rank })
	left := width + space // the first has no space before it
	for _, i := range order {
		if n := len(fields[i].text) + space; n <= left {
			left -= n
		} else {
			fields[i].text = ""
		}
	}
	if g := &fields[graph].text; len(*g) >= minGraph {
		*g = s.graph(min(minGraph+left, maxGraph))
	}
	var b strings.Builder
	for _, f := range fields {
		if f.text == "" {
			continue
		}
		switch {
		case b.Len() == 0:
		case f.close:
			b.WriteByte(' ')
		default:
			b.WriteString("  "[:space])
		}
		if color && f.color != "" {
			b.WriteString(f.color + f.text + plain)
		} else {
			b.WriteString(f.text)
		}
	}
	return b.String()
}

// fields returns all parts of the bar, in order.
func (s State) fields() []field {
	total := "?"
	if s.Total >= 0 {
		total = strconv.FormatInt(s.Total, 10)
	}
	eta, ok := s.ETA()
	left := ""
	if ok {
		left = "ETA " + clock(eta)
	}
	picture := s.graph(minGraph)
	if s.Total < 0 {
		picture = string(`|/-\`[s.Elapsed/(2*every)%4])
	}
	return []field{
		{text: strconv.FormatInt(s.Finished(), 10) + "/" + total, rank: 1},
		{text: s.percentage(), rank: 4},
		graph: {text: picture, rank: 11, color: green},
		{text: s.hold(), rank: 2, color: yellow},
		{text: s.rate(), rank: 6},
		{text: s.limit(), rank: 7, close: true},
		{text: s.wanted(), rank: 13, color: yellow, close: true},
		{text: some(s.InFlight, "in flight"), rank: 9},
		{text: some(s.Failed, "failed"), rank: 5, color: red},
		{text: some(s.Retried, "retried"), rank: 12},
		{text: some(s.Throttled, "throttled"), rank: 10, color: yellow},
		{text: s.next(), rank: 14},
		{text: clock(s.Elapsed), rank: 8},
		{text: left, rank: 3},
	}
}

func (s State) percentage() string {
	p := s.percent()
	if p < 0 {
		return ""
	}
	return strconv.FormatInt(p, 10) + "%"
}

func some(n int64, word string) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10) + " " + word
}

// graph returns the bar proper, of n columns.
func (s State) graph(n int) string {
	n -= 2
	full := n
	if s.Total > 0 {
		full = min(int(float64(s.Finished())/float64(s.Total)*float64(n)), n)
	}
	done := strings.Repeat("=", full)
	if full < n {
		done += ">"
		full++
	}
	return "[" + done + strings.Repeat(" ", n-full) + "]"
}
