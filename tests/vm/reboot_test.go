package vm

import "testing"

// After a reboot everything is there that was on the disk, nothing runs, and the first
// command works.
func TestReboot(t *testing.T) {
	m := up(t)
	defer m.OK("dev", "sbx system reset -f")
	m.OK("dev", "sbx import /opt/sbx-tests/busybox.tar busybox")
	m.OK("dev", "sbx network create lab")
	m.OK("dev", "sbx run -d --name job --network lab -p 18080:80 busybox sh -c 'echo kept >>/file; exec httpd -f -h /'")
	m.Eventually("kept", "dev", "curl -s http://127.0.0.1:18080/file")

	m.Reboot()

	m.Is("", "root", "pgrep sbx || true")
	m.Is("host", "dev", "sbx run --rm --hostname host host uname -n")
	m.Is("job exited", "dev", "sbx ps -a --format '{{.Names}} {{.State}}'")
	m.Is("job", "dev", "sbx start job")
	m.Eventually("kept\nkept", "dev", "curl -s http://127.0.0.1:18080/file")
	m.Is("lab", "dev", "sbx network ls --filter name=lab --format '{{.Name}}'")
}
