package vm

import (
	"os"
	"os/exec"
	"testing"
)

// promised is what the machine has: a test that needs it may not be left out.
const promised = "userns,subids,overlay,rootfs,busybox,pty,tmux,strace,zstd,xz,registry,pasta,systemd,cgroups"

// elsewhere are the tests of the package above that say nothing about the system they
// run on: the rules of the source tree, which is not in the machine.
const elsewhere = "^TestArch"

// Every test of the package above, as the ordinary user. SBX_VM_RUN chooses some of
// them by a regular expression.
func TestEndToEnd(t *testing.T) {
	up(t)
	line := "cd /opt/sbx-tests && SBX_BIN=/usr/local/bin SBX_TEST_BUSYBOX=$PWD/busybox.tar SBX_TEST_ROOTFS=$PWD/debian.tar" +
		" SBX_PATIENCE=3m SBX_MUST=" + promised +
		" ./tests.test -test.timeout 60m -test.skip '" + elsewhere + "' -test.run '" + os.Getenv("SBX_VM_RUN") + "'"
	// Its output is shown as it comes: this takes minutes.
	c := exec.Command("./vm", "run", "--", line)
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	if err := c.Run(); err != nil {
		t.Errorf("the end-to-end tests in the machine: %v", err)
	}
}
