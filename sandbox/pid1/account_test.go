package pid1

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// imageRoot makes a root directory with files in /etc, and opens it.
func imageRoot(t *testing.T, files map[string]string) (b *box, dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, "etc", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return &box{root: fd}, dir
}

func TestAddAccount(t *testing.T) {
	const root, group = "root:x:0:0:root:/root:/bin/sh\n", "root:x:0:\n"
	alice := Account{Name: "alice", Group: "staff", UID: 1000, GID: 50, Home: "/work"}
	for name, c := range map[string]struct {
		a             Account
		passwd, group string // before
		wantP, wantG  string
	}{
		"new":          {alice, root, group, root + "alice:*:1000:50::/work:/bin/sh\n", group + "staff:x:50:\n"},
		"no newline":   {alice, "root:x:0:0::/:", "root:x:0:", "root:x:0:0::/:\nalice:*:1000:50::/work:/bin/sh\n", "root:x:0:\nstaff:x:50:\n"},
		"known":        {alice, root + "node:x:1000:1000::/home/node:/bin/sh\n", group + "g:x:50:\n", root + "node:x:1000:1000::/home/node:/bin/sh\n", group + "g:x:50:\n"},
		"nameless":     {Account{UID: 7, GID: 8}, root, group, root + "7:*:7:8::/:/bin/sh\n", group + "8:x:8:\n"},
		"broken names": {Account{Name: "a:0:0", Group: "x\ny", UID: 7, GID: 8, Home: "/a:b"}, root, group, root + "7:*:7:8::/:/bin/sh\n", group + "8:x:8:\n"},
		"empty":        {alice, "", "", "alice:*:1000:50::/work:/bin/sh\n", "staff:x:50:\n"},
	} {
		t.Run(name, func(t *testing.T) {
			b, dir := imageRoot(t, map[string]string{"passwd": c.passwd, "group": c.group})
			for range 2 { // the second time it is there already
				if err := b.addAccount(&c.a); err != nil {
					t.Fatal(err)
				}
			}
			for file, want := range map[string]string{"passwd": c.wantP, "group": c.wantG} {
				if got, err := os.ReadFile(filepath.Join(dir, "etc", file)); err != nil || string(got) != want {
					t.Errorf("%s is %q, want %q, %v", file, got, want, err)
				}
			}
		})
	}
}

// What an image has there can lead nowhere else, and keeps nobody waiting.
func TestAddAccountHostile(t *testing.T) {
	a := Account{Name: "alice", UID: 1000, GID: 50}
	b, dir := imageRoot(t, nil)
	if err := b.addAccount(&a); err != nil {
		t.Errorf("no files: %v", err)
	}
	if left, err := os.ReadDir(dir + "/etc"); err != nil || len(left) != 0 {
		t.Errorf("made %v, %v", left, err)
	}
	outside := filepath.Join(t.TempDir(), "passwd")
	if err := os.WriteFile(outside, []byte("host\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, dir+"/etc/passwd"); err != nil {
		t.Fatal(err)
	}
	if err := b.addAccount(&a); err != nil {
		t.Errorf("a link to nothing in the image: %v", err)
	}
	if text, err := os.ReadFile(outside); err != nil || string(text) != "host\n" {
		t.Errorf("on the host: %q, %v", text, err)
	}
	if err := os.Remove(dir + "/etc/passwd"); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(dir+"/etc/passwd", 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.addAccount(&a); err == nil {
		t.Error("a named pipe was taken for a file")
	}
}
