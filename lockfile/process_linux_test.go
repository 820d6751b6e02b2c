package lockfile

import (
	"io"
	"os/exec"
	"testing"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

// A process in a time namespace, whose clocks are a day ahead, shares the slots of the others.
func TestTimeNamespace(t *testing.T) {
	unshare := []string{"unshare", "-T", "--boottime", "86400", "--monotonic", "86400"}
	if out, err := exec.Command(unshare[0], append(unshare[1:], "true")...).CombinedOutput(); err != nil {
		t.Skipf("unshare: %v: %s", err, out)
	}
	const every = 20 * time.Millisecond
	f := gate(t)
	var ps []*proc
	for i := range 4 {
		var wrap []string
		if i%2 == 1 {
			wrap = unshare
		}
		ps = append(ps, start(t, f.path, every, "one", 1, wrap...))
	}
	waiters(t, f, 4)
	if err := f.SetLimit(t.Context(), pacer.Every(every)); err != nil {
		t.Fatal(err)
	}
	var all []grantOf
	for i, p := range ps {
		all = append(all, p.grants(i)...)
	}
	all = merge(t, every, all)
	if len(all) != 4 || all[3].slot-all[0].slot != int64(3*every) || all[1].proc != 1 {
		t.Errorf("%v", all)
	}
}

// Where files can't grow, as on a full disk, a grant that is due needs no room, and a place in the queue is refused.
func TestFilesCannotGrow(t *testing.T) {
	f := gate(t)
	if err := f.SetLimit(t.Context(), pacer.Every(time.Hour)); err != nil {
		t.Fatal(err)
	}
	p := start(t, f.path, time.Hour, "grow", 1)
	if b, err := io.ReadAll(p.out); string(b) != "file too large\n" {
		t.Errorf("%q, %v", b, err)
	}
	if s, err := f.Status(); err != nil || s.Damage != "" || s.Grants != 1 || len(s.Waiting) != 0 {
		t.Errorf("%+v, %v", s, err)
	}
}
