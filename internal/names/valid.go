package names

import (
	"strconv"

	"sbx/api"
)

// longest is the longest name. It becomes no path, but lines of tables and host
// names, and 128 leaves room for what scripts generate.
const longest = 128

// Valid checks a sandbox's name by Docker's rule: [a-zA-Z0-9][a-zA-Z0-9_.-]+. No
// name that it takes can leave a directory, look like a flag, or disturb a
// terminal. The error is an *api.Error.
func Valid(name string) error {
	switch {
	case len(name) < 2:
		return refuse(name, "a name has at least two characters")
	case len(name) > longest:
		return refuse(name[:longest]+"...", "a name has at most "+strconv.Itoa(longest)+" characters")
	case !alphanumeric(name[0]):
		return refuse(name, "a name begins with a letter or a digit")
	}
	for i := 1; i < len(name); i++ {
		if c := name[i]; !alphanumeric(c) && c != '_' && c != '.' && c != '-' {
			return refuse(name, "only letters, digits, _, . and - are allowed")
		}
	}
	return nil
}

func alphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func refuse(name, rule string) error {
	return api.Errorf("name", strconv.QuoteToASCII(name), "%s", rule).
		WithHint("names match [a-zA-Z0-9][a-zA-Z0-9_.-]+")
}
