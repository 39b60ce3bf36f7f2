package tests

import (
	"archive/tar"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sbx/tests/promised"
)

func TestThreat07SpecialPathsOfAnImage(t *testing.T) {
	t.Parallel()
	Need(t, "busybox", "overlay")
	e := Sbx(t)
	outside := filepath.Join(e.Home, "outside")
	if err := os.Mkdir(outside, 0o755); err != nil {
		t.Fatal(err)
	}
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		promised.OrSkip(t, "busybox", err)
	}
	started := 0
	for _, name := range []string{"dev", "proc", "sys", "etc", "tmp", "dev/null", "dev/console", "dev/pts", "dev/shm", "proc/kcore"} {
		list := []tar.Header{{Typeflag: tar.TypeDir, Name: "bin"}}
		if dir := filepath.Dir(name); dir != "." {
			list = append(list, tar.Header{Typeflag: tar.TypeDir, Name: dir})
		}
		list = append(list, tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: outside})
		archive := strings.TrimRight(entries(t, list...), "\x00")
		archive += strings.Repeat("\x00", (512-len(archive)%512)%512) + executable(t, "bin/busybox", busybox)
		if r := e.RunIn(archive, "import", "-", "evil"); r.Code != 0 {
			t.Fatalf("%s: %+v", name, r)
		}
		r := e.Run("run", "--rm", "evil", "/bin/busybox", "sh", "-c", "/bin/busybox cat /proc/kcore; /bin/busybox echo >/dev/null; /bin/busybox stat -c '%t:%T' /dev/null")
		if left, err := os.ReadDir(outside); err != nil || len(left) != 0 {
			t.Fatalf("%s: something was made on the host: %v, %v", name, left, err)
		}
		if r.Code == 0 {
			started++
		}
		if r.Code == 0 && r.Out != "1:3\n" || r.Code != 0 && strings.Count(r.Err, "\n") > 1 {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if started == 0 {
		t.Error("none of the images can be run: nothing was tested")
	}
}

func TestThreat09KernelKnobs(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	for _, path := range []string{"/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/sys/vm/drop_caches", "/proc/irq/default_smp_affinity",
		"/sys/kernel/uevent_helper", "/proc/self/attr/current"} {
		r := e.Run("run", "--rm", image, "sh", "-c", "[ -e "+path+" ] || exit 9; echo x >"+path)
		if r.Code == 0 {
			t.Errorf("%s can be written: %+v", path, r)
		}
	}
	for _, path := range []string{"/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/proc/acpi", "/proc/scsi", "/sys/firmware"} {
		if r := e.Run("run", "--rm", image, "sh", "-c", "[ -e "+path+" ] && find "+path+" -type f -exec cat {} + ; [ -f "+path+" ] && cat "+path); r.Out != "" {
			t.Errorf("%s shows %q", path, tail([]byte(r.Out), 100))
		}
	}
}
