package main

import (
	"bytes"
	"os"
	"testing"
)

func TestThePictureIsUpToDate(t *testing.T) {
	var got bytes.Buffer
	if err := draw(&got); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("../../docs/algorithms.svg")
	if err != nil || !bytes.Equal(got.Bytes(), bytes.ReplaceAll(want, []byte("\r\n"), []byte("\n"))) {
		t.Errorf("docs/algorithms.svg is another picture, %v: go run ./bench/algorithms > docs/algorithms.svg", err)
	}
}
