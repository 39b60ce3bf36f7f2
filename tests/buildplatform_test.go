package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// elsewhere is a program that tells where it runs, and leaves a file.
const elsewhere = `package main

import (
	"os"
	"runtime"
	"strings"
	"syscall"
)

func main() {
	var u syscall.Utsname
	if err := syscall.Uname(&u); err != nil {
		panic(err)
	}
	machine := ""
	for _, c := range u.Machine {
		if c != 0 {
			machine += string(rune(c))
		}
	}
	println := func(words ...string) { os.Stdout.WriteString(strings.Join(words, " ") + "\n") }
	println("made for", runtime.GOARCH, "and runs on", machine, "as", os.Args[0])
	text, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(text), "\n") {
		if strings.HasPrefix(line, "Seccomp:") || strings.HasPrefix(line, "NoNewPrivs:") || strings.HasPrefix(line, "CapEff:") {
			println(strings.Fields(line)...)
		}
	}
	// What the profile forbids.
	_, _, errno := syscall.RawSyscall(syscall.SYS_UNSHARE, syscall.CLONE_NEWUSER, 0, 0)
	println("unshare:", errno.Error())
	if len(os.Args) > 1 {
		if err := os.WriteFile(os.Args[1], []byte(machine), 0o644); err != nil {
			panic(err)
		}
		p, err := os.StartProcess(os.Args[0], []string{"a child"}, &os.ProcAttr{Files: []*os.File{nil, os.Stdout, os.Stderr}})
		if err != nil {
			panic(err)
		}
		if s, err := p.Wait(); err != nil || !s.Success() {
			panic("child")
		}
	}
}
`

// probeEmulation wants QEMU, and a kernel that lets a user register it.
func probeEmulation() error {
	if err := program("qemu-aarch64-static"); err != nil {
		return err
	}
	return output("unshare", "--user", "--map-root-user", "--mount", "mount", "-t", "binfmt_misc", "binfmt_misc", "/proc/sys/fs/binfmt_misc")
}

// elsewhereProgram compiles elsewhere for another processor, and this one.
func (e *Env) elsewhereProgram(dir string) {
	e.t.Helper()
	Need(e.t, "go", "emulation")
	src := filepath.Join(e.contextOf("elsewhere", "main.go", elsewhere), "main.go")
	for _, arch := range []string{"arm64", "amd64"} {
		c := exec.Command("go", "build", "-o", filepath.Join(dir, arch), src)
		c.Env = append(os.Environ(), "GOARCH="+arch, "CGO_ENABLED=0", "GOFLAGS=", "GO111MODULE=off")
		if out, err := c.CombinedOutput(); err != nil {
			e.t.Fatalf("go build: %v: %s", err, out)
		}
	}
}

// Programs for another processor are executed, in builds and in sandboxes, without an
// administrator's help and under the same restrictions; those for this one as before.
func TestBuildOtherPlatform(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	dir := e.contextOf("context", "Dockerfile", "FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /tell\nRUN [\"/tell\", \"/made\"]\nENTRYPOINT [\"/tell\"]\n")
	e.elsewhereProgram(dir)
	told := map[string]string{}
	for arch, machine := range map[string]string{"arm64": "aarch64", "amd64": "x86_64"} {
		words := "made for " + arch + " and runs on " + machine + " as "
		if r := e.build(dir, "--platform", "linux/"+arch, "-t", arch); r.Code != 0 || !strings.Contains(r.Err, words+"/tell") || !strings.Contains(r.Err, words+"a child") {
			t.Errorf("%s: status %d\n%s", arch, r.Code, r.Err)
		}
		told[arch] = e.OK("run", "--rm", arch)
		if !strings.Contains(told[arch], words+"/tell") || !strings.Contains(told[arch], "unshare: operation not permitted") {
			t.Errorf("%s: %s", arch, told[arch])
		}
		if asked := e.OK("run", "--rm", "--platform", "linux/"+arch, arch); asked != told[arch] {
			t.Errorf("%s, with --platform: %s", arch, asked)
		}
	}
	e.emulationIsOutside()
	e.mislabelled(dir)
	_, status, _ := strings.Cut(told["amd64"], "\n")
	if !strings.HasSuffix(told["arm64"], status) || !strings.Contains(status, "Seccomp: 2") {
		t.Errorf("the restrictions differ:\n%s\n%s", told["arm64"], told["amd64"])
	}
	// It lasts longer than the supervisor, and is made again after the namespaces.
	e.OK("run", "-d", "--name", "again", "arm64")
	e.OK("wait", "again")
	for _, role := range []string{"supervisor", "sbx-keeper"} {
		for _, p := range e.roles()[role] {
			e.fell(p)
		}
		e.OK("start", "again")
		e.OK("wait", "again")
	}
	if log := e.OK("logs", "again"); strings.Count(log, "runs on aarch64") != 3 {
		t.Errorf("logs: %s", log)
	}
}

// emulationIsOutside tries to change what is executed for everybody from sandboxes.
func (e *Env) emulationIsOutside() {
	e.t.Helper()
	e.Busybox()
	const try = "for d in /proc/sys/fs/binfmt_misc /host/proc/sys/fs/binfmt_misc; do ls $d 2>/dev/null; echo ':evil:M::x::/bin/true:' 2>/dev/null >$d/register && echo WRITTEN $d; echo -1 2>/dev/null >$d/sbx-arm64 && echo WRITTEN $d; done; true"
	for _, flags := range [][]string{{}, {"--cap-add", "SYS_ADMIN"}, {"-v", "/:/host"}, {"--privileged", "-v", "/:/host"}} {
		out := e.OK(append(append([]string{"run", "--rm"}, flags...), "busybox", "sh", "-c", try)...)
		if strings.Contains(out, "WRITTEN") {
			e.t.Errorf("%q: %s", flags, out)
		}
	}
}

// mislabelled makes an image that says of itself that it is for another processor.
func (e *Env) mislabelled(dir string) {
	e.t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "wrong"), []byte("FROM scratch\nCOPY amd64 /tell\nENTRYPOINT [\"/tell\"]\n"), 0o644); err != nil {
		e.t.Fatal(err)
	}
	if r := e.build(dir, "-f", filepath.Join(dir, "wrong"), "--platform", "linux/pdp11", "-t", "wrong"); r.Code != 0 {
		e.t.Fatalf("status %d\n%s", r.Code, r.Err)
	}
	const words = "programs for linux/pdp11 cannot be executed"
	if r := e.Run("run", "--rm", "wrong"); r.Code != 0 || !strings.Contains(r.Out, "runs on x86_64") || !strings.Contains(r.Err, words) {
		e.t.Errorf("status %d, %s%s", r.Code, r.Out, r.Err)
	}
	e.Fails(125, words, "run", "--rm", "--platform", "linux/pdp11", "wrong")
}

// A processor that nobody knows here is said to be so, before anything is executed.
func TestBuildUnknownPlatform(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Busybox()
	dir := e.contextOf("context", "Dockerfile", "FROM scratch\nCOPY Dockerfile /\nRUN [\"/x\"]\n")
	for _, platform := range []string{"linux/pdp11", "windows/amd64"} {
		if r := e.build(dir, "--platform", platform); r.Code == 0 || !strings.Contains(r.Err, "programs for "+platform+" cannot be executed") {
			t.Errorf("%s: status %d\n%s", platform, r.Code, r.Err)
		}
	}
}
