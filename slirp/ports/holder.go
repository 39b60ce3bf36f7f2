package ports

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// holder says which process has the port that f wants, as "nginx (pid 123)"; ""
// if nobody can be found. Another user's process is only known as such.
func holder(run string, f Forward) string {
	for _, name := range []string{f.Proto, f.Proto + "6"} {
		inode, uid := lookup("/proc/thread-self/net/"+name, f)
		switch {
		case inode == "":
			continue
		case uid != strconv.Itoa(os.Getuid()):
			return "a program of another user"
		}
		// Outside our user namespace only those outside may look.
		for _, look := range []func() string{func() string { return whose(inode) }, func() string { return askParent(run, inode) }} {
			if found := look(); found != "" {
				return found
			}
		}
		return "another program of yours"
	}
	return ""
}

// lookup searches one table of proc(5) for a socket that is in the way of f.
func lookup(table string, f Forward) (inode, uid string) {
	file, err := os.Open(table)
	if err != nil {
		return "", ""
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		// sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode
		const local, state, owner, node = 1, 3, 7, 9
		fields := strings.Fields(lines.Text())
		if len(fields) <= node {
			continue
		}
		const listening = "0A"
		if f.Proto == TCP && fields[state] != listening {
			continue
		}
		_, port, ok := strings.Cut(fields[local], ":")
		raw, err := hex.DecodeString(port)
		if !ok || err != nil || len(raw) != 2 || uint16(raw[0])<<8|uint16(raw[1]) != f.Port {
			continue
		}
		return fields[node], fields[owner]
	}
	return "", ""
}

// whose is a process that has the socket open, among those that we may look at.
func whose(inode string) string {
	want := "socket:[" + inode + "]"
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return ""
	}
	for _, dir := range dirs {
		fds, err := os.ReadDir(dir + "/fd")
		if err != nil {
			continue
		}
		for _, fd := range fds {
			if link, err := os.Readlink(dir + "/fd/" + fd.Name()); err != nil || link != want {
				continue
			}
			pid, err := strconv.Atoi(filepath.Base(dir))
			if err != nil {
				continue
			}
			name, _ := os.ReadFile(dir + "/comm")
			return fmt.Sprintf("%s (pid %d)", printable(strings.TrimSpace(string(name))), pid)
		}
	}
	return ""
}

// printable replaces what a process can put into its name to confuse a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || !strconv.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}
