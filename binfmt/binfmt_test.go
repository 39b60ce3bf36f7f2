package binfmt

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// In namespaces of its own the test starts itself again with this variable.
const inside = "SBX_TEST_BINFMT"

func TestMain(m *testing.M) {
	switch os.Getenv(inside) {
	case "":
		os.Exit(m.Run())
	case "check":
		os.Exit(checkMain())
	}
	os.Exit(childMain())
}

// checkMain prints what Check finds.
func checkMain() int {
	f := Check(context.Background())
	os.Stdout.WriteString(fmt.Sprintln(f.Level, f.What))
	return 0
}

// childMain registers, and says of each processor whether its programs are executed.
func childMain() int {
	code := 0
	for arch := range machines {
		before := Try(context.Background(), arch)
		err := Register(context.Background(), arch)
		switch {
		case errors.Is(err, ErrNoEmulator):
			continue
		case err == nil:
			err = Try(context.Background(), arch)
		}
		if err != nil {
			os.Stderr.WriteString(arch + ": " + err.Error() + "\n")
			code = 1
			continue
		}
		how := "already"
		if before != nil {
			how = "now"
		}
		os.Stdout.WriteString(arch + " " + how + "\n")
	}
	list, err := registered()
	if err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		code = 1
	}
	for _, f := range list {
		os.Stdout.WriteString("registered " + f.name + " for " + f.interpreter + "\n")
	}
	fd, err := unix.Open(place+"/register", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		_, err = unix.Write(fd, []byte(":x:E::x::/bin/true:"))
	}
	if err != unix.EROFS {
		os.Stderr.WriteString("the mount can be written to\n")
		code = 1
	}
	return code
}

// Each probe is a program, and the magic that is made of it is what QEMU's own table
// has, where it is installed.
func TestProbesAreELF(t *testing.T) {
	for arch, m := range machines {
		f, err := elf.NewFile(bytes.NewReader(m.probe()))
		if err != nil {
			t.Errorf("%s: %v", arch, err)
			continue
		}
		at := f.Entry - f.Progs[0].Vaddr
		if f.Type != elf.ET_EXEC || uint16(f.Machine) != m.elf || len(f.Progs) != 1 || !bytes.Equal(m.probe()[at:], m.exit) {
			t.Errorf("%s: %+v", arch, f.FileHeader)
		}
		// What QEMU has registered by its own table is registered by this one.
		magic, mask := m.magic()
		text, err := os.ReadFile("/usr/share/binfmts/qemu-" + m.qemu)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if key, value, _ := strings.Cut(strings.TrimSpace(line), " "); key == "magic" {
				want, err := strconv.Unquote(`"` + value + `"`)
				if err != nil || want != string(magic) {
					t.Errorf("%s: magic %q, want %q, %v", arch, magic, want, err)
				}
			}
		}
		if len(mask) != len(magic) {
			t.Errorf("%s: mask %q", arch, mask)
		}
	}
}

func TestTry(t *testing.T) {
	if err := Try(t.Context(), runtime.GOARCH); err != nil {
		t.Error(err)
	}
	if err := Try(t.Context(), "none"); !errors.Is(err, errors.ErrUnsupported) || Known("none") || !Known(runtime.GOARCH) {
		t.Error(err)
	}
	// The kernel executes programs of the other ABI, and sandboxes do not have it.
	if other := second[runtime.GOARCH]; other != "" && !emulated(other) {
		if err := Try(t.Context(), other); !errors.Is(err, unix.ENOEXEC) {
			t.Errorf("%s: %v", other, err)
		}
	}
	// Broken, it is not executed, and so it is with all that is refused.
	was := machines[runtime.GOARCH]
	defer func() { machines[runtime.GOARCH] = was }()
	broken := was
	broken.elf = 0xfff0
	machines[runtime.GOARCH] = broken
	if err := Try(t.Context(), runtime.GOARCH); !errors.Is(err, unix.ENOEXEC) {
		t.Error(err)
	}
}

// In a user namespace programs for other processors are executed, without privileges.
func TestRegister(t *testing.T) {
	if path, err := emulator("arm64"); path == "" || err != nil {
		t.Skipf("needs qemu-user-static: %v", err)
	}
	c := exec.Command("unshare", "--user", "--map-root-user", "--mount", os.Args[0])
	c.Env = append(os.Environ(), inside+"=1")
	out, err := c.CombinedOutput()
	if bytes.Contains(out, []byte(fs.ErrPermission.Error())) || bytes.Contains(out, []byte("not permitted")) {
		t.Skipf("needs Linux 6.7: %s", out)
	}
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if lines := strings.Fields(string(out)); !slices.Contains(lines, "arm64") || !slices.Contains(lines, ours+"arm64") {
		t.Errorf("%s", out)
	}
	t.Logf("%s", out)
}

// What counted before still counts: our instance is the only one that the kernel looks at.
func TestRegisterInherits(t *testing.T) {
	if path, err := emulator("arm64"); path == "" || err != nil {
		t.Skipf("needs qemu-user-static: %v", err)
	}
	const script = `mount -t binfmt_misc binfmt_misc ` + place + ` || { echo no instance; exit 0; }
echo ':mine:E::mine::/bin/echo:' >` + place + `/register
echo ':other:M:1:xyz:\xff\x0f\xff:/bin/cat:OF' >` + place + `/register
echo ':gone:E::gone::/bin/gone:' >` + place + `/register
echo ':off:E::off::/bin/echo:' >` + place + `/register
echo 0 >` + place + `/off
exec unshare --user --map-root-user --mount "$0"`
	c := exec.Command("unshare", "--user", "--map-root-user", "--mount", "sh", "-ec", script, os.Args[0])
	c.Env = append(os.Environ(), inside+"=1")
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if strings.Contains(string(out), "no instance") {
		t.Skipf("needs Linux 6.7: %s", out)
	}
	for _, want := range []string{"mine for /bin/echo", "other for /bin/cat", "gone for /bin/gone", ours + "arm64 for " + "/"} {
		if !strings.Contains(string(out), "registered "+want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
	if strings.Contains(string(out), "registered off") {
		t.Errorf("one that was disabled: %s", out)
	}
}

// The finding has what is executed, and without QEMU how to get it.
func TestCheck(t *testing.T) {
	c := exec.Command("unshare", "--user", "--map-root-user", "--mount", os.Args[0])
	c.Env = append(os.Environ(), inside+"=check")
	out, err := c.CombinedOutput()
	older := strings.Contains(string(out), "not permitted") // Linux 6.6
	if path, _ := emulator("arm64"); err != nil || !older && (!strings.Contains(string(out), runtime.GOARCH) || path != "" && !strings.Contains(string(out), "arm64")) {
		t.Errorf("%v: %s", err, out)
	}
	was := dirs
	defer func() { dirs = was }()
	dirs = []string{t.TempDir()}
	if f := Check(t.Context()); f.Level != api.Green || !strings.Contains(f.What, runtime.GOARCH) || !strings.Contains(f.What, "; install ") && !strings.Contains(f.What, "s390x") {
		t.Errorf("%+v", f)
	}
}

// One that needs libraries is of no use in a sandbox, and none at all is said to be so.
func TestEmulator(t *testing.T) {
	was := dirs
	defer func() { dirs = was }()
	dirs = []string{t.TempDir()}
	if err := Register(t.Context(), "arm64"); !errors.Is(err, ErrNoEmulator) {
		t.Error(err)
	}
	shared, err := os.ReadFile("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dirs[0]+"/qemu-aarch64", shared, 0o755); err != nil {
		t.Fatal(err)
	}
	if path, err := emulator("arm64"); path != "" || err != nil {
		t.Errorf("%q, %v", path, err)
	}
	static := machines[runtime.GOARCH].probe()
	if err := os.WriteFile(dirs[0]+"/qemu-aarch64-static", static, 0o755); err != nil {
		t.Fatal(err)
	}
	if path, err := emulator("arm64"); filepath.Base(path) != "qemu-aarch64-static" || err != nil {
		t.Errorf("%q, %v", path, err)
	}
	if path, err := emulator("pdp11"); path != "" || err != nil {
		t.Errorf("%q, %v", path, err)
	}
}

func TestParse(t *testing.T) {
	f, ok := parse("x", []byte("enabled\ninterpreter /usr/bin/qemu x\nflags: POCF\noffset 0\nmagic 7f45\nmask ffff\n"))
	if want := (format{name: "x", interpreter: "/usr/bin/qemu x", flags: "POCF", offset: "0", magic: "7f45", mask: "ffff"}); !ok || f != want {
		t.Errorf("%+v, %v", f, ok)
	}
	f, ok = parse("jar", []byte("enabled\ninterpreter /usr/bin/jexec\nflags: \nextension .jar\n"))
	if want := (format{name: "jar", interpreter: "/usr/bin/jexec", extension: "jar"}); !ok || f != want {
		t.Errorf("%+v, %v", f, ok)
	}
	if _, ok := parse("off", []byte("disabled\ninterpreter /usr/bin/x\nflags: \noffset 0\nmagic 00\n")); ok {
		t.Error("one that is disabled")
	}
}
