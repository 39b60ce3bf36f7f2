package sandbox

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"

	"sbx/api"
)

// hostUser is the caller as a program of the host image is to see itself.
// Supplementary groups are left behind: they would be rights.
func hostUser(c *api.Caller) string { return fmt.Sprintf("%d:%d", c.UID, c.GID) }

// passwdHome is the home directory that /etc/passwd names for a user: $HOME may
// say something else, and both are to be hidden.
func passwdHome(uid int) string {
	f, err := os.Open("/etc/passwd")
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Split(lines.Text(), ":")
		if len(fields) == 7 && fields[2] == strconv.Itoa(uid) {
			return fields[5]
		}
	}
	return ""
}
