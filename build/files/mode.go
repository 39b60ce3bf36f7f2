package files

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// modeChange is what --chmod does to a mode. nil changes nothing.
type modeChange struct {
	octal   bool
	bits    uint32 // if octal
	clauses []clause
}

// clause is one part of a symbolic mode: u+x of "u+x,g=u".
type clause struct {
	who  uint32 // the bits of those it is for
	op   byte   // + - =
	bits uint32 // for everybody
	x    bool   // X: execution if it is a directory, or anybody may execute it
	copy byte   // u, g or o: what they may
}

// parseMode understands what chmod(1) does: an octal number or a list of symbolic
// changes, with a umask of 0.
func parseMode(s string) (*modeChange, error) {
	if s == "" {
		return nil, nil
	}
	if n, err := strconv.ParseUint(s, 8, 32); err == nil && n <= 0o7777 {
		return &modeChange{octal: true, bits: uint32(n)}, nil
	}
	if s[0] >= '0' && s[0] <= '9' || s[0] == '-' && len(s) > 1 && s[1] >= '0' && s[1] <= '9' {
		return nil, api.Errorf("copy", "--chmod="+s, "invalid chmod parameter: '%s'. it should be octal string and between 0 and 07777", s)
	}
	m := &modeChange{}
	for part := range strings.SplitSeq(s, ",") {
		if !m.parse(part) {
			return nil, api.Errorf("copy", "--chmod="+s, "invalid mode").WithHint("give it as chmod(1) has it: 0755, or u=rwX,go=rX")
		}
	}
	return m, nil
}

// parse takes one part between commas: who, and one or more changes.
func (m *modeChange) parse(part string) bool {
	var who uint32
	for part != "" && strings.IndexByte("ugoa", part[0]) >= 0 {
		who |= map[byte]uint32{'u': 0o4700, 'g': 0o2070, 'o': 0o1007, 'a': 0o7777}[part[0]]
		part = part[1:]
	}
	if who == 0 {
		who = 0o7777
	}
	if part == "" {
		return false
	}
	for part != "" {
		if strings.IndexByte("+-=", part[0]) < 0 {
			return false
		}
		c := clause{who: who, op: part[0]}
		part = part[1:]
		for part != "" && strings.IndexByte("+-=", part[0]) < 0 {
			if !c.permission(part[0]) {
				return false
			}
			part = part[1:]
		}
		m.clauses = append(m.clauses, c)
	}
	return true
}

func (c *clause) permission(p byte) bool {
	if c.copy != 0 {
		return false // u=g stands alone
	}
	switch p {
	case 'r':
		c.bits |= 0o444
	case 'w':
		c.bits |= 0o222
	case 'x':
		c.bits |= 0o111
	case 'X':
		c.x = true
	case 's':
		c.bits |= 0o6000
	case 't':
		c.bits |= 0o1000
	case 'u', 'g', 'o':
		if c.bits != 0 || c.x {
			return false
		}
		c.copy = p
	default:
		return false
	}
	return true
}

// apply gives the bits that a file or directory of a mode gets.
func (m *modeChange) apply(mode uint32) uint32 {
	if m == nil {
		return mode & 0o7777
	}
	if m.octal {
		return m.bits
	}
	dir := mode&unix.S_IFMT == unix.S_IFDIR
	mode &= 0o7777
	for _, c := range m.clauses {
		bits := c.bits
		if c.x && (dir || mode&0o111 != 0) {
			bits |= 0o111
		}
		if c.copy != 0 {
			bits = (mode >> map[byte]uint32{'u': 6, 'g': 3, 'o': 0}[c.copy] & 7) * 0o111
		}
		bits &= c.who
		switch c.op {
		case '+':
			mode |= bits
		case '-':
			mode &^= bits
		case '=':
			mode = mode&^c.who | bits
		}
	}
	return mode
}

// parents is the mode of directories that are made on the way to the destination.
func (m *modeChange) parents() uint32 {
	if m == nil || !m.octal {
		return 0o755
	}
	return m.bits & 0o777
}
