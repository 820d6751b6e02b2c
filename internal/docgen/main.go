// Command docgen writes the man pages and the shell completions of throttle, for packages. It is a program of its own
// so that its Markdown engine stays out of the one that users start.
//
// The flags and their groups come from the command tree, the exit codes from README.md, the rest from man.md.
package main

import (
	"bytes"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/cpuguy83/go-md2man/v2/md2man"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/throttle-cli/throttle/cmd"
)

// more is what throttle(1) has after the options and before the exit codes.
//
//go:embed man.md
var more string

func main() {
	dir := flag.String("dir", ".", "write man/ and completions/ below `DIR`")
	readme := flag.String("readme", "README.md", "take the exit codes from `FILE`")
	version := flag.String("version", "dev", "the version that the pages name")
	flag.Parse()
	if err := generate(*dir, *readme, *version); err != nil {
		fmt.Fprintf(os.Stderr, "docgen: %v\n", err)
		os.Exit(1)
	}
}

func generate(dir, readme, version string) error {
	text, err := os.ReadFile(readme)
	if err != nil {
		return err
	}
	date, err := buildDate()
	if err != nil {
		return err
	}
	codes, err := section(string(text), "Exit codes")
	if err != nil {
		return fmt.Errorf("%s: %w", readme, err)
	}
	root := cmd.NewRootCommand()
	files := map[string][]byte{}
	for _, c := range available(root) {
		page, err := manPage(c, date, version, codes)
		if err != nil {
			return err
		}
		files["man/"+dashed(c)+".1"] = md2man.Render([]byte(page))
	}
	for name, write := range map[string]func(*bytes.Buffer) error{
		"throttle.bash": func(b *bytes.Buffer) error { return root.GenBashCompletionV2(b, true) },
		"_throttle":     func(b *bytes.Buffer) error { return root.GenZshCompletion(b) },
		"throttle.fish": func(b *bytes.Buffer) error { return root.GenFishCompletion(b, true) },
		"throttle.ps1":  func(b *bytes.Buffer) error { return root.GenPowerShellCompletionWithDesc(b) },
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			return err
		}
		files["completions/"+name] = b.Bytes()
	}
	for name, data := range files {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// available returns a command and all below it that users are told of.
func available(c *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{c}
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			all = append(all, available(sub)...)
		}
	}
	return all
}

// buildDate is today, or what SOURCE_DATE_EPOCH says, so that a release can be built again byte by byte.
func buildDate() (time.Time, error) {
	epoch := os.Getenv("SOURCE_DATE_EPOCH")
	if epoch == "" {
		return time.Now(), nil
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// section returns the text under a heading of the second level.
func section(markdown, title string) (string, error) {
	_, text, ok := strings.Cut("\n"+markdown, "\n## "+title+"\n")
	if !ok {
		return "", fmt.Errorf("there is no section %q", title)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	text = regexp.MustCompile(`\[([^\]]+)\]\([^)]*\)`).ReplaceAllString(text, "$1") // a link is no use in a man page
	return definitions(text), nil
}

// definitions turns a table into a definition list: the first column is what is defined, the heads of the others say
// for what, if there are several.
func definitions(markdown string) string {
	var b strings.Builder
	var head []string
	for line := range strings.Lines(markdown) {
		row, isRow := strings.CutPrefix(strings.TrimSpace(line), "|")
		cells := strings.Split(strings.TrimSuffix(row, "|"), "|")
		switch {
		case !isRow:
			head = nil
			b.WriteString(line)
		case head == nil:
			head = cells
		case strings.Trim(row, "|-: ") != "":
			var said []string
			for i, cell := range cells[1:] {
				cell = strings.TrimSpace(cell)
				if cell != "" && len(cells) > 2 && i+1 < len(head) {
					cell = "*" + strings.TrimSpace(head[i+1]) + "*: " + cell
				}
				if cell != "" {
					said = append(said, cell)
				}
			}
			fmt.Fprintf(&b, "**%s**\n:   %s\n\n", strings.TrimSpace(cells[0]), strings.Join(said, "; "))
		}
	}
	return b.String()
}

func manPage(c *cobra.Command, date time.Time, version, codes string) (string, error) {
	options, err := optionGroups(c)
	if err != nil {
		return "", err
	}
	notes := more
	if c.HasParent() {
		notes = "# ENVIRONMENT\nEach flag can be given as THROTTLE_*FLAG*. See **throttle**(1), also for what a rate is.\n"
	}
	var b strings.Builder
	name := dashed(c)
	fmt.Fprintf(&b, "%% %q \"1\" %q \"throttle %s\" \"User Commands\"\n", strings.ToUpper(name), date.Format(time.DateOnly), version)
	fmt.Fprintf(&b, "# NAME\n%s \\- %s\n\n# SYNOPSIS\n", name, strings.ToLower(c.Short[:1])+c.Short[1:])
	also := []string{"**xargs**(1)"}
	commands := []*cobra.Command{c}
	if c.HasParent() {
		also = append(also, fmt.Sprintf("**%s**(1)", dashed(c.Parent())))
	}
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			commands = append(commands, sub)
			also = append(also, fmt.Sprintf("**%s**(1)", dashed(sub)))
		}
	}
	for _, c := range commands {
		fmt.Fprintf(&b, "**%s**%s\n\n", c.CommandPath(), escape(strings.TrimPrefix(c.UseLine(), c.CommandPath())))
	}
	fmt.Fprintf(&b, "# DESCRIPTION\n%s\n\n# EXAMPLES\n```\n%s\n```\n\n", escape(c.Long), c.Example)
	fmt.Fprintf(&b, "# OPTIONS\n%s\n%s\n# EXIT STATUS\n%s\n", options, notes, codes)
	fmt.Fprintf(&b, "# SEE ALSO\n%s\n", strings.Join(also, ", "))
	return b.String(), nil
}

// optionGroups has the flags of a command in the groups and in the order of its help, which alone knows them.
func optionGroups(c *cobra.Command) (string, error) {
	var help, b bytes.Buffer
	c.SetOut(&help)
	if all := c.Flags().Lookup("help-all"); all != nil {
		if err := all.Value.Set("true"); err != nil {
			return "", err
		}
	}
	if err := c.Help(); err != nil {
		return "", err
	}
	title := regexp.MustCompile(`^(\S.*):$`)
	option := regexp.MustCompile(`^  (?:-., |    )--([a-z-]+)`)
	shown := map[string]bool{}
	for line := range strings.Lines(help.String()) {
		line = strings.TrimSuffix(line, "\n")
		if m := title.FindStringSubmatch(line); m != nil {
			fmt.Fprintf(&b, "### %s\n", m[1])
		} else if m := option.FindStringSubmatch(line); m != nil {
			f := c.Flag(m[1])
			if f == nil {
				return "", fmt.Errorf("help of %q: there is no flag --%s", c.CommandPath(), m[1])
			}
			shown[f.Name] = true
			b.WriteString(describe(f))
		}
	}
	var missing error
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if !shown[f.Name] && !f.Hidden && f.Name != "help" {
			missing = errors.Join(missing, fmt.Errorf("help of %q lacks --%s", c.CommandPath(), f.Name))
		}
	})
	return b.String(), missing
}

// describe is a flag as an entry of a definition list.
func describe(f *pflag.Flag) string {
	value, usage := cmd.ValueName(f), f.Usage
	name := "**--" + f.Name + "**"
	if f.Shorthand != "" {
		name = "**-" + f.Shorthand + "**, " + name
	}
	if value != "" {
		name += " *" + escape(value) + "*"
	}
	return fmt.Sprintf("%s\n:   %s\n\n", name, escape(usage))
}

// escape keeps Markdown from reading text as markup.
func escape(text string) string {
	return regexp.MustCompile("[\\\\`*_{}\\[\\]<>#|&]").ReplaceAllString(text, `\$0`)
}

// dashed is the name of the man page of a command.
func dashed(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }
