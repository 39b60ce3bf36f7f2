package vm

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// promised is what the machine has: a test that needs it may not be left out.
const promised = "userns,subids,overlay,fuse,bindfs,landlock,rootfs,busybox,pty,tmux,strace,zstd,xz,registry,pasta,systemd,cgroups"

// elsewhere are the tests of the package above that are no tests of the system they run
// on: the rules of the source tree, which is not in the machine.
const elsewhere = "^TestArch"

// portable are the ones that find the same wherever they run, since they are about what
// sbx reads, writes and says. Where processors are emulated these are left out, so that
// the rest, which is about the system, has its time: they would take a third of it.
var portable = []string{
	"Pull", "Push", "Registry", "Threat18", "Shared", // words with registries
	"Save", "Load", "Export", "Import", "Images", "Commit", "Diff", // archives and layers
	"Disk", "SystemReset", // what the store holds
	"Bad(Input|Flags|Archives)", "DockersFlags", "EnvFile", "Threat49", // what is refused
	"Ps", "Labels", "AmbiguousID", "Threat28", "InspectIs", "Logs(Options|Times|Rotate)", "Events(OfVerbs|OfImages)", // what is shown
	"DNSFlood", // the flood alone fills two emulated processors
}

// Every test of the package above, as the ordinary user. SBX_VM_RUN chooses some of
// them by a regular expression; with "." they are all, the portable ones too.
func TestEndToEnd(t *testing.T) {
	m := up(t)
	chosen, skip := os.Getenv("SBX_VM_RUN"), elsewhere
	if m.Run("root", "systemd-detect-virt").Out != "kvm\n" && chosen == "" {
		skip += "|^Test(" + strings.Join(portable, "|") + ")"
	}
	line := "cd /opt/sbx-tests && SBX_BIN=/usr/local/bin SBX_TEST_BUSYBOX=$PWD/busybox.tar SBX_TEST_ROOTFS=$PWD/debian.tar" +
		" SBX_PATIENCE=2m SBX_MUST=" + promised +
		" ./tests.test -test.parallel $(nproc) -test.timeout 55m -test.skip '" + skip + "' -test.run '" + chosen + "'"
	// Its output is shown as it comes: this takes minutes.
	c := exec.Command("./vm", "run", "--", line)
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	if err := c.Run(); err != nil {
		t.Errorf("the end-to-end tests in the machine: %v", err)
	}
}
