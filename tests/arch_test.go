package tests

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "sbx"

// base may be imported by everything above it.
var base = []string{"api", "internal/wire", "internal/sys", "internal/undo", "internal/dirs", "internal/names", "internal/remedy"}

// layers says which packages of ours a package may import. Imports point down
// only: the facilities never know each other; only sandbox joins them.
var layers = map[string][]string{
	"internal/wire": {},

	"api":             {"internal/wire"},
	"internal/sys":    {},
	"internal/undo":   {},
	"internal/dirs":   {"api", "internal/sys", "internal/remedy"},
	"internal/names":  {"api"},
	"internal/remedy": {"api"},

	"userns":          base,
	"userns/owners":   base,
	"slirp":           base,
	"slirp/out":       base,
	"slirp/ports":     with(base, "slirp/out"),
	"network":         base,
	"network/etc":     base,
	"network/names":   with(base, "network/etc"),
	"cgroup":          base,
	"cgroup/delegate": with(base, "cgroup"),
	"image":           base,
	"image/transfer":  with(base, "image"),
	"volume":          base,
	"units":           base,
	"fuse-overlay":    base,
	"seccomp":         base,
	"binfmt":          base,
	"landlock":        base,
	"view":            base,
	"sandbox/logfile": base,

	// What runs inside must not know of what it is kept from.
	"sandbox/pid1":    with(base, "seccomp"),
	"sandbox/monitor": with(base, "seccomp", "cgroup", "sandbox/logfile", "sandbox/pid1"),
	"sandbox/keeper":  base,
	"sandbox/cp":      with(base, "image"),
	"sandbox": with(base, "userns", "userns/owners", "slirp", "slirp/out", "slirp/ports", "network", "network/etc", "network/names", "cgroup", "image", "image/transfer", "volume", "fuse-overlay", "seccomp", "binfmt", "view", "units",
		"sandbox/cp", "sandbox/logfile", "sandbox/pid1", "sandbox/monitor"),
	"build/files":  with(base, "image", "sandbox/cp", "sandbox/pid1"),
	"build/source": with(base, "image", "sandbox/cp", "build/files"),
	"build":        with(base, "image", "image/transfer", "fuse-overlay", "view", "sandbox", "build/files", "build/source"),

	"confined": with(base, "landlock", "seccomp", "sandbox", "sandbox/pid1"),

	"doctor": with(base, "landlock", "userns", "slirp", "slirp/ports", "cgroup", "cgroup/delegate", "image", "fuse-overlay", "seccomp", "binfmt", "sandbox"),

	"cmd/sbx": with(base, "userns/owners", "sandbox/keeper", "sandbox/monitor", "sandbox/pid1", "sandbox/logfile"),
	"cmd/sbxd": with(base, "userns", "userns/owners", "slirp", "slirp/ports", "network", "network/etc", "network/names", "cgroup", "cgroup/delegate", "image", "image/transfer", "volume", "fuse-overlay", "view",
		"sandbox", "sandbox/keeper", "build", "doctor", "confined"),

	"seccomp/internal/mksyscalls": {}, // makes a table of seccomp; not linked

	"tests":          {"tests/instance", "tests/registry"},
	"tests/instance": {},
	"tests/wiretest": {"internal/wire"},
	"tests/nested":   {"tests/promised"},
	"tests/promised": {},
	"tests/registry": {},
	"tests/vm":       {},
	"contrib/bench":  {"tests/instance", "tests/registry"},
}

func with(list []string, more ...string) []string { return append(slices.Clone(list), more...) }

// golist runs go list in the tree and gives its lines.
func golist(t *testing.T, args ...string) []string {
	t.Helper()
	c := exec.Command("go", append([]string{"list", "-e", "-tags", tags}, args...)...)
	c.Dir = ".."
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	var errs bytes.Buffer
	c.Stderr = &errs
	out, err := c.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, errs.Bytes())
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

func TestArchImportsPointDown(t *testing.T) {
	for _, line := range golist(t, "-f", `{{.ImportPath}} {{join .Imports " "}}`, module+"/...") {
		path, imports, _ := strings.Cut(line, " ")
		pkg := strings.TrimPrefix(path, module+"/")
		may, known := layers[pkg]
		if !known {
			t.Errorf("%s is not in the layer table: say where it belongs", pkg)
		}
		for _, dep := range strings.Fields(imports) {
			if d, ours := strings.CutPrefix(dep, module+"/"); ours && !slices.Contains(may, d) {
				t.Errorf("%s must not import %s", pkg, d)
			}
		}
	}
}

func TestArchPackagesHaveDocs(t *testing.T) {
	for _, line := range golist(t, "-f", `{{.ImportPath}} {{.Doc}}`, module+"/...") {
		if pkg, doc, _ := strings.Cut(line, " "); strings.TrimSpace(doc) == "" {
			t.Errorf("%s has no package comment", pkg)
		}
	}
}

// The command line, the keeper, the monitor and pid 1 are one small binary: its
// start is a large part of the start of a sandbox, and its memory is paid once
// per sandbox.
func TestArchSmallBinaryStaysSmall(t *testing.T) {
	heavy := []string{"net/http", "os/exec", "regexp", "text/template", "crypto/tls", "log/slog",
		"github.com/sirupsen/logrus", "github.com/distribution/reference"}
	families := []string{"go.podman.io/", "github.com/rootless-containers/", "github.com/containers/"}
	for _, dep := range golist(t, "-deps", module+"/cmd/sbx") {
		prefix := func(family string) bool { return strings.HasPrefix(dep, family) }
		if slices.Contains(heavy, dep) || slices.ContainsFunc(families, prefix) {
			t.Errorf("cmd/sbx links %s", dep)
		}
	}
	// pflag knows the types of net; the linker drops the rest, as long as nobody
	// of ours uses it.
	for _, line := range golist(t, "-deps", "-f", `{{.ImportPath}} {{join .Imports " "}}`, module+"/cmd/sbx") {
		pkg, imports, _ := strings.Cut(line, " ")
		if strings.HasPrefix(pkg, module+"/") && slices.Contains(strings.Fields(imports), "net") {
			t.Errorf("%s imports net", pkg)
		}
	}
	bin, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(filepath.Join(bin, "sbx"))
	if err != nil {
		t.Fatal(err)
	}
	const limit = 4_000_000 // docs/adr/0007
	if st.Size() >= limit {
		t.Errorf("sbx has %d bytes, the limit is %d", st.Size(), limit)
	}
}

func TestArchModuleIsReproducible(t *testing.T) {
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mod)) {
		if strings.HasPrefix(strings.TrimSpace(line), "replace ") {
			t.Errorf("go.mod: %s: who fetches sbx as a module would not get it", strings.TrimSpace(line))
		}
	}
}

func TestArchMakefileTagsAreOurs(t *testing.T) {
	f, err := os.Open("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if name, value, ok := strings.Cut(s.Text(), ":="); ok && strings.TrimSpace(name) == "TAGS" {
			if strings.TrimSpace(value) != tags {
				t.Errorf("Makefile builds with %s, the tests with %s", value, tags)
			}
			return
		}
	}
	t.Error("Makefile has no TAGS")
}
