// Package nearest finds the name that was probably meant.
package nearest

import "strings"

// Of returns the one of the names that was probably meant by name, or "": one that begins like it, or that is at most two
// characters away. Case, and - or _, make no difference.
func Of(name string, names []string) string {
	name = plain(name)
	best, least := "", 3
	for _, n := range names {
		p := plain(n)
		if p == name || len(name) > 1 && strings.HasPrefix(p, name) || len(p) > 1 && strings.HasPrefix(name, p) {
			return n
		}
		// Half of a name that is wrong is another name.
		if d := distance(name, p); d < least && 2*d <= len(p) {
			best, least = n, d
		}
	}
	return best
}

func plain(name string) string { return strings.ReplaceAll(strings.ToLower(name), "-", "_") }

// distance returns how many characters are to be put in, taken out or replaced to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0] // the field above and to the left
		row[0] = i + 1
		for j := range len(b) {
			replaced := before
			if a[i] != b[j] {
				replaced++
			}
			before = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
