package preset

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// WriteList writes a table of all presets: name and summary.
func WriteList(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, p := range All() {
		if _, err := fmt.Fprintf(t, "%s\t%s\n", p.Name, p.Summary); err != nil {
			return err
		}
	}
	return t.Flush()
}

// columns is how long the lines of prose are.
const columns = 80

// Write writes all that a preset has, for people.
func (p Preset) Write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", p.Name, p.Summary)
	part := func(title string, lines []string) {
		if len(lines) > 0 {
			fmt.Fprintf(&b, "\n%s\n  %s\n", title, strings.Join(lines, "\n  "))
		}
	}
	part("Throttled, if it fails and one of these is met (*: also if it exits with 0)", marked(p.ThrottledOn))
	part("Worth another attempt, likewise", marked(p.RetryOn))
	part("Set in the environment", p.Env)
	if len(p.Args) > 0 {
		part("Put behind the word "+p.Command, []string{p.args()})
	}
	part("Notes", list(p.Notes, columns-2))
	part("Sources", list(p.Sources, 1000)) // an address stays whole
	_, err := io.WriteString(w, b.String())
	return err
}

func marked(conditions []Condition) []string {
	out := make([]string, len(conditions))
	for i, c := range conditions {
		out[i] = c.Text
		if c.Always {
			out[i] += "  *"
		}
	}
	return out
}

// args returns the arguments as people read them.
func (p Preset) args() string {
	return strings.ReplaceAll(strings.Join(p.Args, " "), HeadersFile, "FILE")
}

// list returns the lines of a list, wrapped.
func list(items []string, width int) []string {
	var lines []string
	for _, item := range items {
		line := "-"
		for word := range strings.FieldsSeq(item) {
			if len(line)+1+len(word) > width {
				lines = append(lines, line)
				line = " "
			}
			line += " " + word
		}
		lines = append(lines, line)
	}
	return lines
}

// jsonPreset is a Preset in JSON. Its names stay as they are.
type jsonPreset struct {
	Name        string          `json:"name"`
	Summary     string          `json:"summary"`
	ThrottledOn []jsonCondition `json:"throttled_on"`
	RetryOn     []jsonCondition `json:"retry_on"`
	Env         []string        `json:"env"`
	Command     string          `json:"command,omitempty"`
	Args        []string        `json:"args,omitempty"`
	Notes       []string        `json:"notes"`
	Sources     []string        `json:"sources"`
}

type jsonCondition struct {
	Condition string `json:"condition"`
	Exit0     bool   `json:"exit_0"` // whether it counts with exit code 0 too
}

// WriteJSON writes presets as a JSON array of objects:
//
//	name, summary                 texts
//	throttled_on, retry_on        conditions: {"condition": "stderr=RE", "exit_0": whether it counts with exit code 0}
//	env                           texts, NAME=value
//	command, args                 what is put behind which command word; {headers} is a file. Absent if there's nothing.
//	notes, sources                texts
func WriteJSON(w io.Writer, presets []Preset) error {
	out := make([]jsonPreset, len(presets))
	for i, p := range presets {
		out[i] = jsonPreset{
			Name: p.Name, Summary: p.Summary, ThrottledOn: jsonConditions(p.ThrottledOn), RetryOn: jsonConditions(p.RetryOn),
			Env: p.Env, Command: p.Command, Args: p.Args, Notes: p.Notes, Sources: p.Sources,
		}
		if p.Env == nil {
			out[i].Env = []string{}
		}
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(out)
}

func jsonConditions(conditions []Condition) []jsonCondition {
	out := make([]jsonCondition, len(conditions))
	for i, c := range conditions {
		out[i] = jsonCondition{Condition: c.Text, Exit0: c.Always}
	}
	return out
}
