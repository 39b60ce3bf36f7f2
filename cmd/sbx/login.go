package main

import (
	"bytes"
	"fmt"
	"io"

	"github.com/spf13/pflag"

	"sbx/api"
)

// loginFlags are the flags of login, as typed.
type loginFlags struct {
	user, password string
	stdin, get     bool
	reachFlags
}

func newLogin() command {
	var o loginFlags
	var fs *pflag.FlagSet
	return command{
		name: "login", group: groupImages, args: "[REGISTRY]", max: 1, names: wantNothing,
		short: "check and keep a user name and password for a registry (default: docker.io)",
		examples: `sbx login registry.example.com
sbx login -u me --password-stdin registry.example.com <token`,
		flags: func(f *pflag.FlagSet) {
			fs = f
			f.StringVarP(&o.user, "username", "u", "", "user `NAME`")
			f.StringVarP(&o.password, "password", "p", "", "`PASSWORD`: other users see it in the list of processes")
			f.BoolVar(&o.stdin, "password-stdin", false, "read the password from standard input")
			f.BoolVar(&o.get, "get-login", false, "only print the name that is logged in")
			o.reachFlags.add(f)
		},
		run: func(s streams, args []string) error { return login(s, o, fs, args) },
	}
}

func login(s streams, o loginFlags, fs *pflag.FlagSet, args []string) error {
	l := api.Login{GetLogin: o.get}
	if len(args) == 1 {
		l.Registry = args[0]
	}
	var err error
	if l.Reach, err = o.reach(s, fs); err != nil {
		return err
	}
	if !o.get {
		if l.User, l.Password, err = o.who(s, fs); err != nil {
			return err
		}
	}
	_, err = ask(s, api.VerbLogin, l)
	return err
}

// who finds the name and the password: in the flags, on standard input, or by
// asking.
func (o *loginFlags) who(s streams, fs *pflag.FlagSet) (user, password string, err error) {
	given := fs.Changed("password")
	switch {
	case given && o.stdin:
		return "", "", &flagError{"--password and --password-stdin exclude each other"}
	case o.stdin && o.user == "":
		return "", "", &flagError{"--password-stdin needs --username"}
	case o.stdin:
		password, err = passwordFrom(s.in)
		return o.user, password, err
	case given:
		// Docker's words.
		fmt.Fprintln(s.err, "WARNING! Using --password via the CLI is insecure. Use --password-stdin.")
	}
	user, password = o.user, o.password
	if user == "" {
		if user, err = askLine(s, "Username: "); err != nil {
			return "", "", err
		}
	}
	if !given {
		password, err = askSecret(s, "Password: ")
	}
	switch {
	case err != nil:
		return "", "", err
	case user == "":
		return "", "", &flagError{"the user name is empty"}
	case password == "":
		return "", "", &flagError{"the password is empty"}
	}
	return user, password, nil
}

// maxPassword bounds standard input. Tokens of cloud registries have 2 to 4 KiB.
const maxPassword = 64 << 10

// passwordFrom reads all of a file but for the end of its line, as Docker does.
func passwordFrom(r io.Reader) (string, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxPassword+1))
	if err != nil {
		return "", api.Wrap("read the password", "", err)
	}
	data = bytes.TrimSuffix(bytes.TrimSuffix(data, []byte("\n")), []byte("\r"))
	switch {
	case len(data) > maxPassword:
		return "", &flagError{"--password-stdin: standard input is too long for a password"}
	case len(data) == 0:
		return "", &flagError{"--password-stdin: standard input is empty"}
	}
	return string(data), nil
}

func newLogout() command {
	var o api.Logout
	var authFile string
	return command{
		name: "logout", group: groupImages, args: "[REGISTRY]", max: 1, names: wantNothing,
		short: "forget the password for a registry (default: docker.io)", examples: "sbx logout registry.example.com",
		flags: func(f *pflag.FlagSet) {
			f.BoolVarP(&o.All, "all", "a", false, "forget all registries")
			f.StringVar(&authFile, "authfile", "", "`FILE` with credentials (default: $REGISTRY_AUTH_FILE, or where login keeps them)")
		},
		run: func(s streams, args []string) error {
			if len(args) == 1 {
				o.Registry = args[0]
			}
			if o.All && o.Registry != "" {
				return usageError{"--all takes no registry"}
			}
			var err error
			if o.Reach, err = environmentReach(); err != nil {
				return err
			}
			if authFile != "" {
				if o.Reach.AuthFile, err = absolute("--authfile", authFile); err != nil {
					return err
				}
			}
			_, err = ask(s, api.VerbLogout, o)
			return err
		},
	}
}
