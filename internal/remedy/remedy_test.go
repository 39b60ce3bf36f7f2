package remedy

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sbx/api"
)

// Each remedy is one line of text, and what an administrator is to run is a script
// that a shell understands.
func TestRemediesAreLinesAndScripts(t *testing.T) {
	for name, r := range map[string]api.Remedy{
		"namespaces": MaxUserNamespaces(), "clone": UserNamespaceClone(), "forbidden": Forbidden(),
		"AppArmor": AppArmor(`/opt/it's {a} "b" \/sbxd`), "newuidmap": Newuidmap(), "setuid": UnprivilegedNewuidmap("/a b", "/c"),
		"ids": SubordinateIDs("alice", 100000, 65536, "/etc/subuid", "/etc/subgid"), "overlay": OverlayModule(),
		"no overlay": OverlayForbidden(), "disk": LocalDisk(), "fuse-overlayfs": FuseOverlayfs(), "fuse": FuseModule(), "fuse device": FuseDevice(),
		"passt": Passt(), "slirp4netns": Slirp4netns(), "tun": Tun(), "tun module": TunModule(), "ports": LowPorts(80),
		"manager": ServiceManager("alice"), "linger": Linger(`CORP\al.ice`), "delegate": Delegate(), "boot": CgroupBoot(),
		"inotify": Inotify("max_user_watches", "65536"), "data": Data(), "proc": Proc(), "memfd": Memfd(), "emulator": Emulator("qemu-aarch64"), "binfmt": Binfmt(),
	} {
		if r.Text == "" || strings.Contains(r.Text, "\n") {
			t.Errorf("%s: %q is not one line", name, r.Text)
		}
		if out, err := exec.Command("sh", "-n", "-c", r.Root).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s\n%s", name, err, out, r.Root)
		}
		if command, ok := strings.CutPrefix(r.Text, "as root: "); ok && r.Root == "" {
			t.Errorf("%s: %q is not in the script", name, command)
		}
	}
}

// The profile is for the path as it is, whatever characters it has.
func TestAppArmorProfile(t *testing.T) {
	dir := t.TempDir()
	for exe, want := range map[string]string{
		"/usr/local/libexec/sbx/sbxd": `"/usr/local/libexec/sbx/sbxd" flags=(unconfined) {`,
		`/home/it's/{x}/sbxd`:         `"/home/it's/\{x\}/sbxd" flags=(unconfined) {`,
	} {
		script := strings.ReplaceAll(AppArmor(exe).Root, "/etc/apparmor.d/", dir+"/")
		script, _, _ = strings.Cut(script, " && ")
		if out, err := exec.Command("sh", "-c", script).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		name := strings.ReplaceAll(strings.Trim(exe, "/"), "/", ".")
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if lines := strings.Split(string(text), "\n"); len(lines) != 6 || lines[2] != want || strings.TrimSpace(lines[3]) != "userns," {
			t.Errorf("%s:\n%s", exe, text)
		}
		// apparmor_parser, where it is installed, knows whether it is a profile.
		parser, err := exec.LookPath("apparmor_parser")
		if _, old := os.Stat("/etc/apparmor.d/abi/4.0"); err != nil || old != nil {
			continue // what has the restriction has AppArmor 4
		}
		if out, err := exec.Command(parser, "-Q", "-K", "-S", filepath.Join(dir, name)).Output(); err != nil || len(out) == 0 {
			t.Errorf("apparmor_parser %s: %v", name, err)
		}
	}
}
