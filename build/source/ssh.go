package source

import (
	"fmt"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"sbx/api"
	"sbx/internal/remedy"
)

// sshCommand is how git calls ssh. No question is asked: a server whose key is not in
// known_hosts is an error.
//
// For a repository that the user has named it is ssh as the user has it. One that a
// Dockerfile names is fetched with the keys of --ssh alone, as BuildKit does: whoever
// writes Dockerfiles does not get at what the user's keys open.
func (r *repository) sshCommand(home string) string {
	args := []string{"ssh", "-o", "BatchMode=yes"}
	if !r.asked {
		args = append(args, "-F", "none", "-o", "IdentityFile=none")
		if r.agent == "" {
			args = append(args, "-o", "IdentityAgent=none")
		}
	}
	args = append(args, r.homeOptions(home)...)
	for i, a := range args {
		args[i] = remedy.Quote(a)
	}
	return strings.Join(args, " ")
}

// homeOptions name the files of a home directory that is not the one of /etc/passwd,
// which is where ssh looks for them, whatever HOME says.
func (r *repository) homeOptions(home string) []string {
	if u, err := user.LookupId(strconv.Itoa(outsideID("/proc/self/uid_map", os.Getuid()))); err == nil && u.HomeDir == home {
		return nil
	}
	var args []string
	names := []string{"known_hosts"}
	if r.asked {
		names = append(names, "config", "id_ed25519", "id_ecdsa", "id_rsa")
	}
	for _, name := range names {
		path := filepath.Join(home, ".ssh", name)
		if _, err := os.Stat(path); err != nil {
			continue
		}
		switch name {
		case "config":
			args = append(args, "-F", path)
		case "known_hosts":
			args = append(args, "-o", "UserKnownHostsFile="+strconv.Quote(path))
		default:
			args = append(args, "-i", path)
		}
	}
	return args
}

// asUser gives a program the ids that the user has on the host, in a user namespace of
// its own: as root of this one it would look for its files where root has them.
func asUser(attr *syscall.SysProcAttr) {
	uid, gid := outsideID("/proc/self/uid_map", os.Getuid()), outsideID("/proc/self/gid_map", os.Getgid())
	if uid == os.Getuid() {
		return
	}
	attr.Cloneflags |= syscall.CLONE_NEWUSER
	attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: os.Getuid(), Size: 1}}
	attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: os.Getgid(), Size: 1}}
}

// outsideID is what an id of this user namespace is outside of it, by the map that the
// file has; the id itself, if that cannot be told.
func outsideID(file string, id int) int {
	text, err := os.ReadFile(file)
	if err != nil {
		return id
	}
	for line := range strings.Lines(string(text)) {
		var inside, outside, length int
		if n, err := fmt.Sscan(line, &inside, &outside, &length); n == 3 && err == nil && id >= inside && id < inside+length {
			return outside + id - inside
		}
	}
	return id
}

// explainSSH says what has to be done about what ssh has said.
func (r *repository) explainSSH(e *api.Error, text string) {
	host, port := r.server()
	known, scan := host, "ssh-keyscan "+remedy.Quote(host)
	if port != "" && port != "22" {
		known, scan = "["+host+"]:"+port, "ssh-keyscan -p "+remedy.Quote(port)+" "+remedy.Quote(host)
	}
	switch {
	case strings.Contains(text, "HOST IDENTIFICATION HAS CHANGED"):
		e.Msg = "the key of " + known + " is another one than known_hosts has: it is another machine, or somebody is in between"
		e.Hint = "if its owner confirms that it has changed: ssh-keygen -R " + remedy.Quote(known)
	case strings.Contains(text, "Host key verification failed"):
		e.Msg = "the key of " + known + " is not in known_hosts"
		e.Hint = scan + " >>~/.ssh/known_hosts, and compare what that adds with what the server's owner says"
	case strings.Contains(text, "Permission denied ("):
		e.Msg = "the server accepts none of the keys"
		if e.Hint = "ssh-add -l lists the keys that it was shown"; r.agent == "" {
			e.Hint = "give the keys of your agent with --ssh default, or a key with --ssh default=FILE"
		}
	case strings.Contains(text, "ssh: not found") || strings.Contains(text, "cannot run ssh"):
		e.Msg, e.Hint = "there is no ssh on this machine", "install openssh-client"
	default:
		// That there is no way to the server only ssh has said.
		for line := range strings.Lines(text) {
			if rest, ok := strings.CutPrefix(line, "ssh: "); ok {
				e.Msg = strings.TrimSpace(rest)
			}
		}
	}
}

// server is where the repository of an ssh URL is; the port is empty if none is given.
func (r *repository) server() (host, port string) {
	if u, err := url.Parse(r.remote); err == nil && u.Scheme == "ssh" {
		return u.Hostname(), u.Port()
	}
	_, rest, _ := strings.Cut(r.remote, "@")
	host, _, _ = strings.Cut(rest, ":")
	return host, ""
}
