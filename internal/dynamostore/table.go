package dynamostore

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"time"
)

// A Table keeps small documents beside the keys, such as the limits of a service: one of each name. Its methods may be called by any
// number of goroutines.
type Table struct{ conn *conn }

// OpenTable opens the table of a URL for its documents. It connects to nothing yet.
func OpenTable(ctx context.Context, address string, dial Dial, timeout time.Duration) (*Table, error) {
	c, err := connect(ctx, address, dial, timeout, nil)
	if err != nil {
		return nil, err
	}
	return &Table{c}, nil
}

// Close closes it.
func (t *Table) Close() error { return t.conn.client.Close() }

// Names returns those of all documents, in order. It reads all of the table.
func (t *Table) Names(ctx context.Context) ([]string, error) { return t.conn.list(ctx, documentPrefix) }

// Get returns a document and its version. If there is none both are empty.
func (t *Table) Get(ctx context.Context, name string) (value []byte, version string, err error) {
	r, _, err := t.conn.do(ctx, Request{Op: OpGet, Key: documentPrefix + name})
	if err != nil || r.Item == nil {
		return nil, "", err
	}
	v := r.Item[attrVersion].B
	if len(v) == 0 {
		return nil, "", &ServerError{t.conn.name, ErrForeign}
	}
	return r.Item[attrValue].B, hex.EncodeToString(v), nil
}

// Put writes a document if it still has a version, "" if there is none; else it is ErrChanged. It may be up to 390 KB long. If the answer
// was lost it may have been written.
func (t *Table) Put(ctx context.Context, name string, value []byte, version string) error {
	known, err := condition(version)
	if err != nil {
		return err
	}
	var next [12]byte
	_, _ = rand.Read(next[:]) // it never fails
	r, _, err := t.conn.do(ctx, Request{
		Op: OpUpdate, Key: documentPrefix + name, If: known, Set: map[string]Value{attrVersion: Bytes(next[:]), attrValue: Bytes(value)},
	})
	if err == nil && r.Failed {
		err = ErrChanged
	}
	return err
}

// Delete deletes a document if it still has a version; else it is ErrChanged.
func (t *Table) Delete(ctx context.Context, name, version string) error {
	known, err := condition(version)
	if err != nil {
		return err
	}
	r, _, err := t.conn.do(ctx, Request{Op: OpDelete, Key: documentPrefix + name, If: known})
	if err == nil && r.Failed {
		err = ErrChanged
	}
	return err
}

func condition(version string) (map[string]*Value, error) {
	if version == "" {
		return map[string]*Value{attrKey: nil}, nil
	}
	b, err := hex.DecodeString(version)
	if err != nil {
		return nil, ErrChanged
	}
	v := Bytes(b)
	return map[string]*Value{attrVersion: &v}, nil
}
