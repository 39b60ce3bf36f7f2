package main

import (
	"os"
	"strings"

	"github.com/spf13/pflag"

	"sbx/api"
)

// specFlags are the flags of run and create, by the part of the Spec they fill.
type specFlags struct {
	name, hostname, domain string
	labels                 []string
	labelFiles             []string
	cidFile                string
	attach                 []string
	fetchFlags
	processFlags
	isolationFlags
	networkFlags
	mountFlags
	limitFlags
	lifecycleFlags
	healthFlags
}

func (f *specFlags) add(fs *pflag.FlagSet) {
	fs.StringVar(&f.name, "name", "", "name of the sandbox")
	fs.StringVarP(&f.hostname, "hostname", "h", "", "host name (default: the first 12 digits of the id)")
	fs.StringVar(&f.domain, "domainname", "", "NIS domain, domainname(1); a name for the network is a --hostname with dots")
	fs.VarP((*list)(&f.labels), "label", "l", "`KEY[=VALUE]` to find the sandbox by")
	fs.Var((*list)(&f.labelFiles), "label-file", "`FILE` of labels")
	fs.StringVar(&f.cidFile, "cidfile", "", "write the id to a `FILE` that must not exist")
	fs.VarP((*list)(&f.attach), "attach", "a", "attach `stdin|stdout|stderr` only")
	f.fetchFlags.add(fs)
	f.processFlags.add(fs)
	f.isolationFlags.add(fs)
	f.networkFlags.add(fs)
	f.mountFlags.add(fs)
	f.limitFlags.add(fs)
	f.limitFlags.addFixed(fs)
	f.lifecycleFlags.add(fs)
	f.healthFlags.add(fs)
}

// spec makes the api's Spec of the flags and of IMAGE [CMD...].
func (f *specFlags) spec(fs *pflag.FlagSet, args []string) (api.Spec, error) {
	s := api.Spec{Name: f.name, Hostname: f.hostname, Domain: f.domain, Image: args[0], Pull: f.pull, Caller: caller()}
	s.EntrypointSet = fs.Changed("entrypoint")
	if err := f.checkWords(fs, s); err != nil {
		return s, err
	}
	var err error
	if s.Image, err = absoluteImage(s.Image); err != nil {
		return s, err
	}
	if s.Labels, err = labels(f.labelFiles, f.labels); err != nil {
		return s, err
	}
	if s.Process, err = f.process(args[1:]); err != nil {
		return s, err
	}
	if s.Isolation, err = f.isolation(); err != nil {
		return s, err
	}
	if s.Isolation.Network, s.Net, err = f.network(s.Hostname); err != nil {
		return s, err
	}
	if err := checkSettings(&s.Isolation); err != nil {
		return s, err
	}
	if s.Mounts, err = f.list(s.Process.Groups); err != nil {
		return s, err
	}
	s.VolumesFrom = f.from
	if f.here && s.Process.WorkDir == "" {
		s.Process.WorkDir = s.Mounts[len(s.Mounts)-1].Target
	}
	if s.Limits, err = f.limits(fs); err != nil {
		return s, err
	}
	if s.Health, err = f.health(fs); err != nil {
		return s, err
	}
	s.Lifecycle, err = f.lifecycle(fs)
	if err == nil && s.Hostname+s.Domain != "" && s.Isolation.UTS == "host" {
		err = &flagError{"--hostname and --domainname exclude --uts host"}
	}
	return s, err
}

func (f *specFlags) checkWords(fs *pflag.FlagSet, s api.Spec) error {
	switch {
	case s.Image == "":
		return &flagError{"the image name is empty"}
	case fs.Changed("name") && !isName(s.Name):
		return invalid("--name", s.Name, "expected 2 to 128 letters, digits, '_', '.' and '-', the first a letter or digit")
	case len(s.Hostname) > 64: // HOST_NAME_MAX, sethostname(2)
		return invalid("--hostname", s.Hostname, "longer than 64 bytes")
	case len(s.Domain) > 64 || strings.ContainsAny(s.Domain, " \x00\n"): // setdomainname(2)
		return invalid("--domainname", s.Domain, "expected at most 64 bytes without spaces")
	case s.Hostname != "" && !isHostname(s.Hostname):
		return invalid("--hostname", s.Hostname, "expected letters, digits, '.' and '-'")
	}
	if err := checkPull("--pull", s.Pull); err != nil {
		return err
	}
	for _, a := range f.attach {
		if a != "stdin" && a != "stdout" && a != "stderr" {
			return invalid("--attach", a, "expected stdin, stdout or stderr")
		}
	}
	return nil
}

func isName(s string) bool {
	for i, r := range s {
		alnum := r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z'
		if !alnum && (i == 0 || r != '_' && r != '.' && r != '-') {
			return false
		}
	}
	return len(s) > 1 && len(s) <= 128 // Docker wants two characters or more
}

func isHostname(s string) bool {
	for i, r := range s {
		alnum := r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r == '_'
		if !alnum && (i == 0 || r != '.' && r != '-') {
			return false
		}
	}
	return true
}

// caller is who types. The supervisor asks the system for what is missing.
func caller() api.Caller {
	name := os.Getenv("USER")
	if name == "" {
		name = os.Getenv("LOGNAME")
	}
	return api.Caller{
		UID: os.Getuid(), GID: os.Getgid(), Name: name,
		Home: os.Getenv("HOME"), Lang: os.Getenv("LANG"), Term: os.Getenv("TERM"),
	}
}
