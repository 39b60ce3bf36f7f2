package tests

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const tags = "containers_image_openpgp,exclude_graphdriver_btrfs,exclude_graphdriver_zfs,no_vpnkit,no_gvisortapvsock,no_lxcusernic"

func TestMain(m *testing.M) {
	if unknown := unknownFeatures(os.Getenv("SBX_MUST")); len(unknown) > 0 {
		fmt.Fprintln(os.Stderr, "SBX_MUST names no feature of ours:", strings.Join(unknown, " "))
		os.Exit(2)
	}
	// They wait for others most of the time: twice as many at once as processors.
	flag.Parse()
	if !isSet("test.parallel") {
		if err := flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0))); err != nil {
			panic(err)
		}
	}
	code := m.Run()
	if built != "" {
		if err := os.RemoveAll(built); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	os.Exit(code)
}

// isSet says whether a flag was given.
func isSet(name string) (set bool) {
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == name })
	return set
}

// built is the directory that TestMain has to remove.
var built string

// binaries is the directory of sbx and sbxd. They are built by the first test
// that needs them, so that the rules of the tree are checked even when the
// programs do not compile.
var binaries = sync.OnceValues(func() (string, error) {
	if dir := os.Getenv("SBX_BIN"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.MkdirTemp("", "sbx-bin-")
	if err != nil {
		return "", err
	}
	built = dir
	c := exec.Command("go", "build", "-trimpath", "-tags", tags, "-ldflags", "-s -w", "-o", dir+"/", "sbx/cmd/sbx", "sbx/cmd/sbxd")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, bytes.TrimSpace(out))
	}
	return dir, nil
})
