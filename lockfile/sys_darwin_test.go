package lockfile

import "testing"

func smallDisk(t *testing.T, _ int) string {
	t.Helper()
	t.Skip("no way to mount a small file system")
	return ""
}

func noGrowth() error { return nil }

func full(error) bool { return false }

func fill(*testing.T, string) {}

func asNobody(t *testing.T, _ func()) {
	t.Helper()
	t.Skip("no way to become somebody else on one thread")
}
