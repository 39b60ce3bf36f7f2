package image

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"go.podman.io/storage"
)

// The test binary started with this variable opens the store at $SBX_TEST_TOP and
// gets stuck in the middle of something, to be killed.
const helperMode = "SBX_TEST_IMAGE_HELPER"

func helper(mode string) int {
	top := os.Getenv("SBX_TEST_TOP")
	s, err := Open(filepath.Join(top, "graph"), filepath.Join(top, "run"))
	if err != nil {
		fmt.Println(err)
		return 1
	}
	switch mode {
	case "layer":
		err = stuckLayer(s)
	case "record":
		err = stuckRecord(s)
	case "single":
		if err = importAsOne(s); err == nil {
			fmt.Println("ready")
			return 0
		}
	}
	fmt.Println("ended:", err)
	return 1
}

// stuckLayer imports an archive whose second file never ends.
func stuckLayer(s *Store) error {
	r, w := io.Pipe()
	go func() {
		tw := tar.NewWriter(w)
		for _, f := range []file{regular("a", strings.Repeat("a", 1<<20)), {name: "b", size: 64 << 20, mode: 0o644}} {
			if err := tw.WriteHeader(tarHeader(f)); err != nil {
				return
			}
			if _, err := io.WriteString(tw, f.body); err != nil {
				return
			}
		}
		// The pipes in between hold less than this: some of it has reached the disk.
		if _, err := tw.Write(make([]byte, 32<<20)); err != nil {
			return
		}
		fmt.Println("ready")
	}()
	_, err := s.Import(context.Background(), r, ImportOptions{Name: "half", Source: "-"})
	return err
}

// importAsOne imports a file of uid 42, and one that fails, where only uid 0 exists.
func importAsOne(s *Store) error {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range []file{{name: "mail", uid: 42, mode: 0o640}, {name: "mail/x", uid: 42}} {
		if err := w.WriteHeader(tarHeader(f)); err != nil {
			return err
		}
		if f.name == "mail" {
			cut := bytes.Clone(b.Bytes())
			img, err := s.Import(context.Background(), bytes.NewReader(append(cut, make([]byte, 1024)...)), ImportOptions{Name: "x"})
			if err != nil {
				return err
			}
			st, err := os.Stat(filepath.Join(s.graphRoot, "overlay", "l", img.Layers[0], "mail"))
			if err != nil || st.Mode() != 0o640 {
				return fmt.Errorf("mail has mode %v: %w", st.Mode(), err)
			}
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	_, err := s.Import(context.Background(), &b, ImportOptions{Source: "y.tar"})
	if err == nil || !strings.HasPrefix(err.Error(), "import y.tar: open mail: not a directory: ") {
		return fmt.Errorf("a file as a directory: %w", err)
	}
	return nil
}

// stuckRecord stops between the layer and the name of the image.
func stuckRecord(s *Store) error {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(tarHeader(dir("d"))); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	top := ""
	for range 2 {
		l, err := s.Stage(context.Background(), bytes.NewReader(b.Bytes()), StageOptions{})
		if err != nil {
			return err
		}
		if err := s.apply(l, top, nil); err != nil {
			return err
		}
		top = chainID(top, l.DiffID)
	}
	id := digest.FromString("half").Encoded()
	if _, err := s.store.CreateImage(id, []string{pending + id}, top, "", &storage.ImageOptions{}); err != nil {
		return err
	}
	fmt.Println("ready")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// With one id, images can be imported; their files belong to it.
func TestImportSingleID(t *testing.T) {
	top := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", "--user", "--map-root-user", "--mount", self)
	cmd.Env = append(os.Environ(), helperMode+"=single", "SBX_TEST_TOP="+top)
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "ready\n" {
		t.Errorf("%v: %s", err, out)
	}
}

func TestKillInImport(t *testing.T) {
	for _, mode := range []string{"layer", "record"} {
		t.Run(mode, func(t *testing.T) {
			top := t.TempDir()
			s := openAt(t, top)
			kept := load(t, s, "kept", pack(t, tree()...))
			before := inventory(t, s)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			killHelper(t, mode, top)
			s = openAt(t, top)
			if after := inventory(t, s); after != before {
				t.Errorf("left behind:\n%s\nbefore:\n%s", after, before)
			}
			got, err := s.Resolve("kept")
			if err != nil || got.ID != kept.ID {
				t.Errorf("the image of before: %s, %v", got.ID, err)
			}
			load(t, s, "half", pack(t, tree()...))
		})
	}
}

// killHelper starts the helper, waits until it says that it is stuck, and kills it.
func killHelper(t *testing.T, mode, top string) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), helperMode+"="+mode, "SBX_TEST_TOP="+top)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	if line != "ready\n" {
		t.Fatalf("helper said %q, %v", line, err)
	}
	if state := cmd.Wait(); state == nil {
		t.Error("the helper was not killed")
	}
}
