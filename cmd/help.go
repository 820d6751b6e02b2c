package cmd

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// A flagGroup is a set of flags that stand together in the help.
type flagGroup struct {
	title string
	flags *pflag.FlagSet
}

func newGroup(title string, add ...func(*pflag.FlagSet)) flagGroup {
	g := flagGroup{title, pflag.NewFlagSet(title, pflag.ContinueOnError)}
	g.flags.SortFlags = false
	for _, f := range add {
		f(g.flags)
	}
	return g
}

// forCommands marks the flags of a group as meaningless where lines are passed on.
func (g flagGroup) forCommands() flagGroup {
	g.flags.VisitAll(func(f *pflag.Flag) {
		_ = g.flags.SetAnnotation(f.Name, needsCommand, []string{""})
	})
	return g
}

// addGroups gives a command its flags, and the help that shows them.
func addGroups(c *cobra.Command, groups ...flagGroup) {
	for _, g := range groups {
		g.flags.VisitAll(nameValue)
		c.Flags().AddFlagSet(g.flags)
		g.flags.VisitAll(func(f *pflag.Flag) {
			switch {
			case takesFile(f):
			case f.Name == "limit":
				_ = c.RegisterFlagCompletionFunc(f.Name, completeLimits)
			default:
				_ = c.RegisterFlagCompletionFunc(f.Name, cobra.NoFileCompletions)
			}
		})
	}
	c.SetHelpFunc(func(asked *cobra.Command, args []string) {
		if asked != c { // one that has no groups
			new(cobra.Command).HelpFunc()(asked, args)
			return
		}
		writeHelp(c.OutOrStdout(), c, groups)
	})
}

// Annotations of a flag: the name of its value, as the backquotes in its usage have it; and that it is in the short help.
const (
	valueName = "value-name"
	common    = "common"
)

// helpAll is the flag of commands whose help has a short form, which fits a screen.
const helpAll = "help-all"

// showFirst marks the flags that are in the short help, and adds the one for all of them.
func showFirst(c *cobra.Command, names ...string) {
	for _, name := range names {
		_ = c.Flags().SetAnnotation(name, common, []string{""})
	}
}

func addHelpAll(f *pflag.FlagSet) { f.Bool(helpAll, false, "print this with all flags") }

// wantsAll reports whether the help is to have all flags.
func wantsAll(c *cobra.Command) bool {
	f := c.Flags().Lookup(helpAll)
	return f == nil || f.Value.String() == "true"
}

// nameValue takes the name of a flag's value out of its usage, which completions show as it is.
func nameValue(f *pflag.Flag) {
	name, usage := pflag.UnquoteUsage(f)
	f.Usage = usage
	if f.Annotations == nil {
		f.Annotations = make(map[string][]string)
	}
	f.Annotations[valueName] = []string{name}
}

// ValueName returns the name of the value of a flag: N/UNIT for --rate.
func ValueName(f *pflag.Flag) string {
	if name := f.Annotations[valueName]; len(name) == 1 {
		return name[0]
	}
	name, _ := pflag.UnquoteUsage(f)
	return name
}

// takesFile reports whether the value of a flag is the name of a file.
func takesFile(f *pflag.Flag) bool { return ValueName(f) == "FILE" }

// writeHelp begins with examples, since that is what most people look for.
func writeHelp(w io.Writer, c *cobra.Command, groups []flagGroup) {
	var b strings.Builder
	if c.HasParent() {
		fmt.Fprintf(&b, "%s\n\n", c.Long)
	}
	fmt.Fprintf(&b, "%s\n\nUsage: %s\n", c.Example, c.UseLine())
	if names := namesOf(c); len(names) > 0 {
		fmt.Fprintf(&b, "Commands: %s (%s COMMAND --help)\n", strings.Join(names, ", "), c.CommandPath())
	}
	all := wantsAll(c)
	for _, g := range groups {
		title := g.title + ":\n"
		g.flags.VisitAll(func(f *pflag.Flag) {
			if !f.Hidden && (all || f.Annotations[common] != nil) {
				b.WriteString(title + flagLine(f))
				title = ""
			}
		})
	}
	if !all {
		fmt.Fprintf(&b, "These are the most common flags: %s --%s has all of them.\n", c.CommandPath(), helpAll)
	}
	switch {
	case len(groups) == 0:
	case c.HasParent():
		b.WriteString("In the environment, each flag is THROTTLE_<FLAG>, such as THROTTLE_RATE.\n")
	default:
		b.WriteString("In COMMAND: {} line, {.} {/} {//} {/.} parts of its path, {1} column,\n" +
			"{#} number, {%} job slot. In the environment, each flag is THROTTLE_<FLAG>.\n")
	}
	_, _ = io.WriteString(w, b.String()) // nobody is left to tell
}

// flagLine is a flag as a line of help, or as two where its name is long.
func flagLine(f *pflag.Flag) string {
	name := "    --" + f.Name
	if f.Shorthand != "" {
		name = "-" + f.Shorthand + ", --" + f.Name
	}
	if f.Value.Type() != "bool" {
		name += " " + ValueName(f)
	}
	const column = 23
	if len(name) > column {
		return fmt.Sprintf("  %s\n  %*s %s\n", name, column, "", f.Usage)
	}
	return fmt.Sprintf("  %-*s %s\n", column, name, f.Usage)
}
