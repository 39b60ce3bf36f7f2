package files

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// chmod(1) is the witness of symbolic modes.
func TestModeIsChmods(t *testing.T) {
	words := strings.Fields("u+x go-rwx a=r +x -w =rw u=rwX,go=rX a+X g=u o=g u=o ug+rw,o-rwx u+s g+s +t o+t u+t a=rwxst u-s+x ug=o+x a=,u=r u=rwx,g=u-w o+s 0644 4755 7777 755 0")
	top := t.TempDir()
	for _, word := range words {
		m, err := parseMode(word)
		if err != nil {
			t.Errorf("%s: %v", word, err)
			continue
		}
		for _, before := range []uint32{0, 0o644, 0o755, 0o600, 0o111, 0o7777, 0o4711, 0o1070, 0o027} {
			for _, dir := range []bool{false, true} {
				if dir && before&0o6000 != 0 || dir && strings.ContainsAny(word, "s47") {
					continue // chmod(1) of GNU leaves set-id bits of directories as they are
				}
				path, kind := top+"/file", uint32(unix.S_IFREG)
				err := os.WriteFile(path, nil, 0o600)
				if dir {
					path, kind, err = top+"/dir", unix.S_IFDIR, os.MkdirAll(top+"/dir", 0o700)
				}
				if err != nil {
					t.Fatal(err)
				}
				if err := unix.Chmod(path, before); err != nil {
					t.Fatal(err)
				}
				if out, err := exec.Command("sh", "-c", `umask 0; chmod -- "$1" "$2"`, "-", word, path).CombinedOutput(); err != nil {
					t.Fatalf("chmod %s: %v: %s", word, err, out)
				}
				var st unix.Stat_t
				if err := unix.Stat(path, &st); err != nil {
					t.Fatal(err)
				}
				if got := m.apply(kind | before); got != st.Mode&0o7777 {
					t.Errorf("%s of %s gives %s, chmod(1) %s", word, fmt.Sprintf("%o", before), fmt.Sprintf("%o", got), fmt.Sprintf("%o", st.Mode&0o7777))
				}
			}
		}
	}
	for _, word := range []string{"u", "x", "u+y", "u+x,", ",", "u=gr", "u=rg", "8", "0x10", "-1", "u+x g+x", "+", "a", "=,u"} {
		if _, err := parseMode(word); err == nil && word != "+" {
			t.Errorf("%q is a mode", word)
		}
	}
}
