package source

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"sbx/api"
)

// What a Dockerfile names is fetched with the keys of --ssh, what the user names as ssh
// does it for the user.
func TestSSHCommand(t *testing.T) {
	home := filepath.Join(t.TempDir(), "it's home")
	for _, name := range []string{"config", "known_hosts", "id_rsa"} {
		write(t, filepath.Join(home, ".ssh", name), "")
	}
	for _, c := range []struct {
		r        repository
		has, not []string
	}{
		{repository{asked: true}, []string{"BatchMode=yes", "/config", "/known_hosts", "/id_rsa"}, []string{"none"}},
		{repository{}, []string{"BatchMode=yes", "-F none", "IdentityFile=none", "IdentityAgent=none", "/known_hosts"}, []string{"/config", "/id_rsa"}},
		{repository{agent: "/a"}, []string{"-F none", "IdentityFile=none", "/known_hosts"}, []string{"IdentityAgent", "/config", "/id_rsa"}},
	} {
		// The shell that git starts sees the words as they were meant.
		words := run(t, "/", "sh", "-c", "for w in "+c.r.sshCommand(home)+"; do echo \"$w\"; done")
		line := strings.ReplaceAll(words, "\n", " ")
		for _, want := range c.has {
			if !strings.Contains(line, want) {
				t.Errorf("%+v: no %q in %s", c.r, want, line)
			}
		}
		for _, not := range c.not {
			if strings.Contains(line, not) {
				t.Errorf("%+v: %q in %s", c.r, not, line)
			}
		}
	}
}

func TestOutsideID(t *testing.T) {
	file := filepath.Join(t.TempDir(), "map")
	write(t, file, "         0       1000          1\n         1     100000      65536\n")
	for id, want := range map[int]int{0: 1000, 1: 100000, 65536: 165535, 70000: 70000} {
		if got := outsideID(file, id); got != want {
			t.Errorf("%d: %d, want %d", id, got, want)
		}
	}
	if got := outsideID(file+"none", 7); got != 7 {
		t.Errorf("without a map: %d", got)
	}
	// Who is not root of a user namespace stays who he is.
	var attr syscall.SysProcAttr
	if asUser(&attr); outsideID("/proc/self/uid_map", os.Getuid()) == os.Getuid() && attr.Cloneflags != 0 {
		t.Errorf("%+v", attr)
	}
}

func TestExplainSSH(t *testing.T) {
	for _, c := range []struct{ remote, agent, text, words, hint string }{
		{"ssh://git@h:2222/r", "", "No ED25519 host key is known for [h]:2222\nHost key verification failed.", "[h]:2222 is not in known_hosts", "ssh-keyscan -p 2222 h >>"},
		{"git@h:r", "", "Host key verification failed.", "the key of h is not", "ssh-keyscan h >>"},
		{"ssh://git@[::1]:22/r", "", "Host key verification failed.", "the key of ::1 is not", "ssh-keyscan '::1' >>"},
		{"git@h:r", "", "REMOTE HOST IDENTIFICATION HAS CHANGED!\nHost key verification failed.", "somebody is in between", "ssh-keygen -R h"},
		{"git@h:r", "", "git@h: Permission denied (publickey).", "accepts none of the keys", "--ssh default"},
		{"git@h:r", "/agent", "git@h: Permission denied (publickey).", "accepts none of the keys", "ssh-add -l"},
		{"git@h:r", "", "error: cannot run ssh: No such file or directory", "no ssh on this machine", "install"},
		{"git@h:r", "", "ssh: connect to host h port 22: Connection refused\r\nfatal: Could not read from remote repository.", "h port 22: Connection refused", ""},
		{"git@h:r", "", "fatal: 'r' does not appear to be a git repository", "does not appear", ""},
	} {
		r := repository{gitRef: &gitRef{remote: c.remote, scheme: "ssh"}, agent: c.agent}
		e := r.failure(c.text, api.Errorf("x", "", "y"))
		if !strings.Contains(e.Error(), c.words) || !strings.Contains(e.Hint, c.hint) || c.hint == "" && e.Hint != "" {
			t.Errorf("%s: %v, hint %q", c.remote, e, e.Hint)
		}
	}
}
