//go:build unix

package main

import (
	"fmt"
	"testing"
)

func BenchmarkIdle(b *testing.B) {
	for _, l := range idleLimiters() {
		b.Run(l.name, l.grants)
	}
}

func BenchmarkWindow(b *testing.B) {
	for _, n := range windowSizes() {
		b.Run(fmt.Sprint(n), windowGrants(n))
	}
}
