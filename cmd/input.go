package cmd

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/throttle-cli/throttle/internal/record"
)

// inputOptions are the flags that say what is read, and how it is cut into records.
type inputOptions struct {
	file      string
	null      bool
	delimiter string
}

func (o *inputOptions) addFlags(f *pflag.FlagSet) {
	f.StringVarP(&o.file, "arg-file", "a", "", "read `FILE` instead of stdin")
	f.BoolVarP(&o.null, "null", "0", false, "lines end with NUL instead of newline")
	f.StringVarP(&o.delimiter, "delimiter", "d", "", "lines end with the character `C`, also \\t, \\0, \\xHH")
}

// inputs returns what is to be read.
func (o *inputOptions) inputs(std streams) ([]record.Input, error) {
	if o.file == "" {
		return inputsOf(nil, std)
	}
	return inputsOf([]string{o.file}, std)
}

// inputsOf returns the named files as inputs, stdin for "-" and for no name at all.
func inputsOf(names []string, std streams) ([]record.Input, error) {
	if len(names) == 0 {
		names = []string{"-"}
	}
	var inputs []record.Input
	for _, name := range names {
		if name == "-" {
			inputs = append(inputs, record.Stdin(std.in))
			continue
		}
		in, err := record.File(name)
		if err != nil {
			return nil, err
		}
		inputs = append(inputs, in)
	}
	return inputs, nil
}

// delim returns the byte that ends a record.
func (o *inputOptions) delim() (byte, error) {
	switch {
	case o.null && o.delimiter != "":
		return 0, errConflict("--null", "--delimiter")
	case o.null:
		return 0, nil
	case o.delimiter == "":
		return '\n', nil
	case len(o.delimiter) == 1:
		return o.delimiter[0], nil
	}
	if c, ok := unescape(o.delimiter); ok {
		return c, nil
	}
	return 0, fmt.Errorf("--delimiter %q: it is one byte, or one of \\n \\t \\r \\0 \\\\ \\xHH", o.delimiter)
}

func unescape(s string) (byte, bool) {
	code, ok := strings.CutPrefix(s, `\`)
	if !ok {
		return 0, false
	}
	switch code {
	case "n":
		return '\n', true
	case "t":
		return '\t', true
	case "r":
		return '\r', true
	case "0":
		return 0, true
	case `\`:
		return '\\', true
	}
	hex, ok := strings.CutPrefix(code, "x")
	n, err := strconv.ParseUint(hex, 16, 8)
	return byte(n), ok && err == nil
}
