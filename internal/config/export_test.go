package config

// TryLock is how a change keeps others away.
func TryLock(path string) (unlock func(), err error) { return tryLock(path) }

// Syntax returns how many things are wrong with a text, whatever it means.
func Syntax(data []byte) int { return len(parseDocument(data).problems) }

// SetIn is Set on a text.
func SetIn(data []byte, e Entry, texts []string) ([]byte, error) {
	f, err := e.check()
	if err != nil {
		return nil, err
	}
	return edit("f.toml", data, e, Checks{}, func(d *document) ([]byte, error) { return d.set(e, f.write(texts)) })
}

// UnsetIn is Unset on a text.
func UnsetIn(data []byte, e Entry) ([]byte, error) {
	return edit("f.toml", data, e, Checks{}, func(d *document) ([]byte, error) { return d.unset("f.toml", e) })
}

// CheckText returns what is wrong with a text.
func CheckText(data []byte) []error {
	_, wrong := decode("f.toml", data, Checks{})
	return wrong
}
