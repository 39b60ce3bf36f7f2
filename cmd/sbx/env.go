package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"sbx/api"
)

func quote(s string) string { return strconv.Quote(s) }

// environment is -e and --env-file as KEY=value, files first, so that -e wins.
func environment(files, vars []string) ([]string, error) {
	var env []string
	for _, path := range files {
		lines, err := readVars("--env-file", path, os.LookupEnv)
		if err != nil {
			return nil, err
		}
		env = append(env, lines...)
	}
	for _, v := range vars {
		name, _, set := strings.Cut(v, "=")
		if name == "" {
			return nil, invalid("--env", v, "it has no name")
		}
		if strings.ContainsRune(v, 0) {
			return nil, invalid("--env", v, "it contains a NUL byte")
		}
		if !set {
			value, ok := os.LookupEnv(name)
			if !ok {
				continue // as Docker: not set here, not set there
			}
			v = name + "=" + value
		}
		env = append(env, v)
	}
	return env, nil
}

// labels is -l and --label-file; a label without a value has an empty one.
func labels(files, list []string) (map[string]string, error) {
	var all []string
	for _, path := range files {
		lines, err := readVars("--label-file", path, func(string) (string, bool) { return "", true })
		if err != nil {
			return nil, err
		}
		all = append(all, lines...)
	}
	all = append(all, list...)
	if len(all) == 0 {
		return nil, nil
	}
	m := make(map[string]string, len(all))
	for _, l := range all {
		name, value, _ := strings.Cut(l, "=")
		if name == "" {
			return nil, invalid("--label", l, "it has no name")
		}
		m[name] = value
	}
	return m, nil
}

// readVars reads a file of KEY=value lines by Docker's rules: blank lines and
// those that begin with # are skipped, leading space is, quotes are not special,
// and a bare KEY takes its value from lookup.
func readVars(flag, path string, lookup func(string) (string, bool)) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, invalid(flag, path, errors.Unwrap(err).Error())
	}
	defer f.Close()
	var vars []string
	scanner := bufio.NewScanner(f)
	scanner.Buffer(nil, api.MaxPacket)
	for n := 1; scanner.Scan(); n++ {
		line := scanner.Text()
		if n == 1 {
			line = strings.TrimPrefix(line, "\uFEFF")
		}
		v, err := parseVar(line, lookup)
		if err != nil {
			return nil, invalid(flag, path, fmt.Sprintf("line %d: %v", n, err))
		}
		if v != "" {
			vars = append(vars, v)
		}
	}
	if err := scanner.Err(); err != nil {
		return nil, invalid(flag, path, err.Error())
	}
	return vars, nil
}

func parseVar(line string, lookup func(string) (string, bool)) (string, error) {
	if !utf8.ValidString(line) {
		return "", errors.New("not UTF-8")
	}
	if strings.ContainsRune(line, 0) {
		return "", errors.New("it contains a NUL byte")
	}
	line = strings.TrimLeftFunc(line, unicode.IsSpace)
	if line == "" || line[0] == '#' {
		return "", nil
	}
	name, value, set := strings.Cut(line, "=")
	switch {
	case name == "":
		return "", fmt.Errorf("no name before the = in %q", line)
	case strings.ContainsAny(name, " \t"):
		return "", fmt.Errorf("space in the name %q", name)
	}
	if !set {
		var ok bool
		if value, ok = lookup(name); !ok {
			return "", nil
		}
	}
	return name + "=" + value, nil
}
