package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestGenerate(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	dir := t.TempDir()
	if err := generate(dir, "../../README.md", "1.2.3"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]string{
		"man/throttle.1": {
			`.TH "THROTTLE" "1" "2023-11-14" "throttle 1.2.3"`,
			".SH EXAMPLES", "-- aws",
			".SS Rate", `\fB-r\fP, \fB--rate\fP \fIN/UNIT\fP`,
			".SH REPLACEMENT STRINGS", `\fB{}\fP`,
			".SH ENVIRONMENT", ".SH EXIT STATUS", `\fB125\fP`,
			`\fBthrottle-run\fP(1)`,
		},
		"man/throttle-limits.1":      {`\fBthrottle-limits-show\fP(1)`},
		"man/throttle-limits-show.1": {".SS Which", `\fB--account\fP \fINAME\fP`, `\fBthrottle-limits\fP(1)`},
		"man/throttle-run.1":         {".SS Output", `\fB125\fP`, `\fBthrottle\fP(1)`},
		"completions/throttle.bash":  {"-F __start_throttle throttle"},
		"completions/_throttle":      {"#compdef throttle"},
		"completions/throttle.fish":  {"complete -c throttle"},
		"completions/throttle.ps1":   {"Register-ArgumentCompleter -CommandName 'throttle'"},
	} {
		data, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			t.Error(err)
			continue
		}
		for _, w := range want {
			if !strings.Contains(string(data), w) {
				t.Errorf("%s lacks %q", name, w)
			}
		}
	}
}

func TestSection(t *testing.T) {
	const text = "# A\n\n## Codes\n\n| code | when |\n|---|---|\n| 0 | all is [well](x.md) |\n\nEnd.\n\n" +
		"| code | lines | jobs |\n|--|:-:|--|\n| 1 | a | b |\n| 2 | | c |\n\n## Next\n"
	got, err := section(text, "Codes")
	if want := "\n**0**\n:   all is well\n\n\nEnd.\n\n**1**\n:   *lines*: a; *jobs*: b\n\n**2**\n:   *jobs*: c\n\n"; err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if _, err := section(text, "None"); err == nil {
		t.Error("no error for a section that is not there")
	}
}
