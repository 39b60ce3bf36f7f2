package tests

import "testing"

// Sandboxes with --rm get directories of ended ones. Nothing of these may show:
// not a file, not the mode, owner, time or attributes of the root directory.
func TestRunRecycledRootIsNew(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	look := `stat -c '%a %u:%g' /; ls -A /; test $(($(date +%s) - $(stat -c %Y /))) -lt 300 && echo new`
	want := e.OK("run", "--rm", "--network", "none", image, "sh", "-c", look)
	for _, spoil := range []string{
		"true",
		"chmod 700 /",
		"chown 1:1 /",
		"touch -d 2001-01-01 /",
		"touch /x",
		"mkdir /d && rmdir /d",
		"rm -r /bin",
		"cd / && i=0; while [ $i -lt 500 ]; do : > long-name-of-a-file-$i; i=$((i+1)); done; rm long-name-*",
	} {
		for range 4 { // more than there are sandboxes in waiting
			e.OK("run", "--rm", "--network", "none", image, "sh", "-c", spoil)
		}
		for range 4 {
			e.Is(want, "run", "--rm", "--network", "none", image, "sh", "-c", look)
		}
	}
}
