package dynamostore

import (
	"context"
	"crypto/rand"
)

// A Text is one of those that a Server keeps beside the keys, such as the limits of a service.
type Text struct{ Name, Text string }

// Texts returns all texts, in the order of their names. It reads all of the table.
func (v *Server) Texts(ctx context.Context) ([]Text, error) {
	names, err := v.list(ctx, documentPrefix)
	if err != nil {
		return nil, err
	}
	var texts []Text
	for _, name := range names {
		text, _, err := v.text(ctx, name)
		if err != nil {
			return nil, err
		}
		if text != "" { // it may have been taken out meanwhile
			texts = append(texts, Text{name, text})
		}
	}
	return texts, nil
}

// text returns a text and its version. If there is none both are empty.
func (v *Server) text(ctx context.Context, name string) (text string, version []byte, err error) {
	r, _, err := v.do(ctx, Request{Op: OpGet, Key: documentPrefix + name})
	if err != nil || r.Item == nil {
		return "", nil, err
	}
	version = r.Item[attrVersion].B
	if len(version) == 0 {
		return "", nil, &ServerError{v.name, ErrForeign}
	}
	return string(r.Item[attrValue].B), version, nil
}

// ReplaceText replaces a text if it still is old, and reports whether it was. An empty one is none. It may be up to 390 KB long. If the
// answer was lost it may have been replaced.
func (v *Server) ReplaceText(ctx context.Context, name, old, text string) (ok bool, err error) {
	is, version, err := v.text(ctx, name)
	if err != nil || is != old {
		return false, err
	}
	known := map[string]*Value{attrKey: nil}
	if version != nil {
		b := Bytes(version)
		known = map[string]*Value{attrVersion: &b}
	}
	if text == "" {
		if version == nil {
			return true, nil
		}
		r, _, err := v.do(ctx, Request{Op: OpDelete, Key: documentPrefix + name, If: known})
		return err == nil && !r.Failed, err
	}
	var next [12]byte
	_, _ = rand.Read(next[:]) // it never fails
	r, _, err := v.do(ctx, Request{
		Op: OpUpdate, Key: documentPrefix + name, If: known, Set: map[string]Value{attrVersion: Bytes(next[:]), attrValue: Bytes([]byte(text))},
	})
	return err == nil && !r.Failed, err
}
