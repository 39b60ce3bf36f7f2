package tests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The working directory that an image names leads out of it, by links: it is made inside,
// and its owner changed there, CVE-2026-55686.
func TestThreat12WorkDirOfImage(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	out := e.outside()
	before, err := os.Stat(out)
	if err != nil {
		t.Fatal(err)
	}
	image := e.hostile("workdir", link("absolute", out), link("dots", strings.Repeat("../", 40)+out[1:]), link("magic", "/proc/self/root"+out))
	for _, below := range []string{"absolute", "dots", "magic"} {
		for _, target := range []string{"/" + below, "/" + below + "/new/dir"} {
			e.OK("create", "--name", "box", image, "true")
			e.OK("commit", "-c", "WORKDIR "+target, "box", "at")
			e.OK("rm", "box")
			for _, user := range []string{"0", "70:70"} {
				if r := e.Run("run", "--rm", "-u", user, "at", "sh", "-c", "pwd -P"); r.Code == 0 && strings.TrimSpace(r.Out) != out+strings.TrimPrefix(target, "/"+below) || r.Code != 0 && r.Code < 125 {
					t.Errorf("%s as %s: %+v", target, user, r)
				}
			}
			isEmpty(t, out)
		}
	}
	if after, err := os.Stat(out); err != nil || after.Mode() != before.Mode() || own(t, out) != own(t, e.Home) {
		t.Errorf("%s on the host has been changed: %v %v", out, after, err)
	}
}

// A program swaps a file of a volume for a link to the host's, as fast as it can, while the
// volume is read from the host: CVE-2023-0778.
func TestThreat24VolumeFileSwapped(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	secret := filepath.Join(e.Home, "secret")
	if err := os.WriteFile(secret, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	e.OK("run", "-d", "--name", "swapper", "-v", "db:/v", image, "sh", "-c",
		"cd /v; echo -n own >f; ln -s "+strings.Repeat("../", 20)+secret[1:]+" l; ln -s "+secret+" m; while :; do mv f x; mv x f; mv l x; mv x l; mv m x; mv x m; done 2>/dev/null")
	// The other one does not run: what it has is opened by the supervisor.
	e.OK("create", "--name", "idle", "-v", "db:/v", image, "true")
	seen := map[string]int{}
	for range 40 {
		for _, box := range []string{"swapper", "idle"} {
			for _, flags := range [][]string{nil, {"-L"}} {
				r := e.Run(append(append([]string{"cp"}, flags...), box+":/v/x", "-")...)
				switch {
				case strings.Contains(r.Out, "mine"):
					t.Fatalf("a file of the host was read: %q of %s", flags, box)
				case r.Code == 0 && strings.Contains(r.Out, "own"):
					seen["file"]++
				case r.Code == 0:
					seen["link"]++
				default:
					seen["error"]++
				}
			}
		}
	}
	if seen["file"] == 0 || seen["link"] == 0 || seen["error"] == 0 {
		t.Errorf("%v: this tests nothing", seen)
	}
	e.OK("rm", "-f", "swapper", "idle")
}
