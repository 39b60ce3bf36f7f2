package tests

import (
	"slices"
	"strings"
	"testing"
)

// What podman 5.4.2 lists for the same commands in a container of the same image,
// without /etc, where it makes files of its own. The package has more of them.
var podmansDiff = map[string]string{
	"true":                              "",
	"mkdir -p /n1/n2; echo 1 >/n1/n2/f": "A /n1\nA /n1/n2\nA /n1/n2/f",
	"echo 1 >>/etc/passwd":              "C /etc/passwd",
	"rm /etc/passwd":                    "D /etc/passwd",
	"rm -r /home; mkdir /home; echo 1 >/home/x":        "D /home\nA /home/x",
	"touch /var/q; mkfifo /var/p; ln -s / /var/l":      "C /var\nA /var/l\nA /var/p\nA /var/q",
	"echo 1 >/etc/hosts; echo >/dev/shm/x; echo >/new": "A /new",
	"mkdir /m; mv /m /o; echo 1 >'/o/ü '":              "A /o\nA /o/ü ",
}

func TestDiff(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	for script, want := range podmansDiff {
		e.OK("run", "--name", "box", "--network", "none", image, "sh", "-c", "mkdir -p /home; "+script)
		got := slices.DeleteFunc(strings.Split(e.OK("diff", "box"), "\n"), func(line string) bool { return line == "C /etc" })
		if strings.Join(got, "\n") != want {
			t.Errorf("%s: %q, want %q", script, got, want)
		}
		e.OK("rm", "box")
	}
	// One that runs, before and after it does something.
	e.OK("run", "-d", "--name", "box", image, "sleep", "1000")
	e.Is("", "diff", "box")
	e.OK("exec", "box", "sh", "-c", "echo >/b; rm -r /var; echo >/a")
	e.Is("A /a\nA /b\nD /var", "diff", "box")
	e.Is("{\n     \"added\": [\n          \"/a\",\n          \"/b\"\n     ],\n     \"deleted\": [\n          \"/var\"\n     ]\n}", "diff", "--format", "json", "box")
	e.Is("A /a\nA /b\nD /var", "container", "diff", "box")
	// A place that was made for a mount is there, what is mounted is not.
	e.OK("run", "-d", "--name", "binds", "-v", e.Home+":/here", "--tmpfs", "/scratch", image, "sh", "-c", "echo >/scratch/x; sleep 1000")
	e.Is("A /here\nA /scratch", "diff", "binds")
	// A name cannot do anything to a terminal.
	e.OK("run", "--name", "nasty", image, "sh", "-c", `echo >"$(printf '/\033[31m\377')"`)
	e.Is(`A /\x1b[31m\xff`, "diff", "nasty")

	e.Fails(1, "no such sandbox", "diff", "none")
	e.Fails(1, "the only format is json", "diff", "--format", "{{.}}", "box")
	e.OK("create", "--name", "host", "host", "true")
	e.Fails(1, "host's own file system", "diff", "host")
}

// The same on the same machine. Podman's run needs a cgroup hierarchy that not every
// machine gives: its container is changed from outside.
func TestDiffIsPodmans(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	file := t.TempDir() + "/busybox.tar"
	e.OK("save", "-q", "-o", file, image)
	e.podman("load", "-q", "-i", file)
	own := strings.Join(e.podmanArgs(), " ")
	for script := range podmansDiff {
		if strings.Contains(script, "/dev/") {
			continue // a mount, and a file of sbx's own
		}
		script = "mkdir -p /home; " + script
		e.podman("create", "--name", "box", image, "true")
		e.podman("unshare", "sh", "-ec", "m=$("+own+" mount box); PATH=/bin:/usr/bin:/sbin:/usr/sbin chroot $m /bin/sh -c \"$0\"; "+own+" umount box", script)
		e.OK("run", "--name", "box", "--network", "none", image, "sh", "-c", script)
		if ours, theirs := changedPaths(e.OK("diff", "box")), changedPaths(e.podman("diff", "box")); !slices.Equal(ours, theirs) {
			t.Errorf("%s: %q, podman says %q", script, ours, theirs)
		}
		e.podman("rm", "-f", "box")
		e.OK("rm", "box")
	}
}

// changedPaths sorts the lines of diff, without the directories above others: on some
// kernels podman finds those changed whose files are.
func changedPaths(text string) []string {
	lines := strings.Split(text, "\n")
	lines = slices.DeleteFunc(lines, func(line string) bool {
		dir, changed := strings.CutPrefix(line, "C ")
		return changed && strings.Contains(text, " "+dir+"/")
	})
	slices.Sort(lines)
	return lines
}
