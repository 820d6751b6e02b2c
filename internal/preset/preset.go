// Package preset knows what well-known tools say when the remote throttles them, which of their failures are worth another
// attempt, and how to keep them from calling again by themselves. It runs nothing.
package preset

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/throttle-cli/throttle/internal/feedback"
	"github.com/throttle-cli/throttle/internal/nearest"
)

// A Preset is what is known of a tool.
type Preset struct {
	Name    string // as it is looked up: aws
	Summary string // one line: what it is for
	// ThrottledOn and RetryOn are the conditions for feedback.Rules.
	ThrottledOn, RetryOn []Condition
	// Env has what is to be set in the environment of the command, as NAME=value, whatever it was.
	Env []string
	// Args are put behind the command word, if that is Command. See Insert.
	Command string
	Args    []string
	// Notes say what one should know: what can't be switched off, and where the preset differs from its sources.
	Notes []string
	// Sources are where the facts are taken from.
	Sources []string
}

// A Condition is one that feedback.Parse takes.
type Condition struct {
	Text string
	// Always says that it counts where the command has exited with 0, too. Otherwise it has to have failed: what it writes
	// to stderr while it succeeds is for people.
	Always bool
}

// HeadersFile stands in Args for the file that the command writes the headers of its HTTP responses to.
const HeadersFile = "{headers}"

// Rules returns the conditions of the preset. Regular expressions are compiled when they are first needed.
func (p Preset) Rules() feedback.Rules {
	return feedback.Rules{ThrottledOn: known(p.ThrottledOn), RetryOn: known(p.RetryOn)}
}

func known(conditions []Condition) []feedback.Condition {
	out := make([]feedback.Condition, len(conditions))
	for i, c := range conditions {
		out[i] = feedback.Known(c.Text)
		if !c.Always {
			out[i] = out[i].OfFailures()
		}
	}
	return out
}

// Applies reports whether Insert has something to put into the command: whether its basename is Command.
func (p Preset) Applies(argv []string) bool {
	if len(p.Args) == 0 || len(argv) == 0 {
		return false
	}
	base := filepath.Base(argv[0])
	return base == p.Command || strings.EqualFold(base, p.Command+".exe")
}

// Insert returns argv with Args behind the command word, where they apply: options that the user gives come later, and win.
// headers is the name of the file for the headers, empty at the start of each attempt; the caller may give /dev/fd/N for one
// without a name, and has to read it from its beginning then. Without one, that option is left out.
func (p Preset) Insert(argv []string, headers string) []string {
	if !p.Applies(argv) {
		return argv
	}
	out := argv[:1:1]
	if len(argv) > 1 && (strings.HasPrefix(argv[1], "-q") || argv[1] == "--disable") {
		out = append(out, "-q") // curl wants it first
	}
	for i := 0; i < len(p.Args); i++ {
		switch {
		case i+1 == len(p.Args) || p.Args[i+1] != HeadersFile:
			out = append(out, p.Args[i])
		case headers == "":
			i++
		default:
			out = append(out, p.Args[i], headers)
			i++
		}
	}
	return append(out, argv[1:]...)
}

// Names returns the names of all presets, in order.
func Names() []string {
	all := All()
	names := make([]string, len(all))
	for i, p := range all {
		names[i] = p.Name
	}
	return names
}

// Lookup returns the preset with the name. Its error names those that there are.
func Lookup(name string) (Preset, error) {
	for _, p := range All() {
		if p.Name == name {
			return p, nil
		}
	}
	hint := ""
	if near := meant(name); near != "" {
		hint = fmt.Sprintf("did you mean %q? ", near)
	}
	return Preset{}, fmt.Errorf("there is no preset %q\n%sthere are %s", name, hint, strings.Join(Names(), ", "))
}

// meant returns the name that was probably meant, or "".
func meant(name string) string {
	switch strings.ToLower(name) {
	case "github", "hub":
		return "gh"
	case "kubernetes", "k8s", "kubectl.exe":
		return "kubectl"
	case "google", "gcp", "gsutil":
		return "gcloud"
	}
	return nearest.Of(name, Names())
}
