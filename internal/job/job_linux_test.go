package job

import (
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// Whether init waits for the processes that it inherits depends on the machine, so here we are the one who does not.
func TestAGroupOfZombiesIsDead(t *testing.T) {
	c := exec.Command("sleep", "60")
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Wait() //nolint:errcheck // it was killed
	group := target{pid: c.Process.Pid}
	if group.dead() {
		t.Error("a process that sleeps is taken for dead")
	}
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for range 10_000 { // until the signal has arrived
		if group.dead() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Error("a zombie is taken for alive")
}

func TestNoGroupIsNotDead(t *testing.T) {
	if (target{pid: 1 << 30}).dead() {
		t.Error("a group that is not there is taken for one of zombies")
	}
}
