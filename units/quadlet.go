package units

import (
	"fmt"
	"path/filepath"
	"strings"

	"sbx/api"
)

// kind says how a key of [Container] becomes flags.
type kind int

const (
	value  kind = iota // --flag=VALUE, each time that the key is given
	split              // the same for each word of it
	truth              // --flag for true
	refuse             // nothing that sbx has
)

type rule struct {
	kind kind
	flag string // for refuse: what to do instead
}

// rules are the keys of [Container], podman-systemd.unit(5), but for those that
// container.key treats itself.
var rules = map[string]rule{
	"AddCapability": {split, "cap-add"}, "AddDevice": {value, "device"}, "GroupAdd": {value, "group-add"}, "Sysctl": {split, "sysctl"}, "DropCapability": {split, "cap-drop"}, "AddHost": {value, "add-host"},
	"CgroupsMode": {refuse, "sbx always makes a cgroup where it can"}, "ContainerName": {value, "name"},
	"DNS": {value, "dns"}, "DNSOption": {value, "dns-option"}, "DNSSearch": {value, "dns-search"},
	"Entrypoint": {value, "entrypoint"}, "Environment": {split, "env"}, "EnvironmentFile": {value, "env-file"},
	"ExposeHostPort": {value, "expose"}, "HealthCmd": {value, "health-cmd"}, "HealthInterval": {value, "health-interval"},
	"HealthOnFailure": {value, "health-on-failure"}, "HealthRetries": {value, "health-retries"},
	"HealthStartPeriod": {value, "health-start-period"}, "HealthTimeout": {value, "health-timeout"},
	"HostName": {value, "hostname"}, "IP": {value, "ip"}, "IP6": {value, "ip6"}, "Label": {split, "label"},
	"LogOpt": {value, "log-opt"}, "Memory": {value, "memory"}, "Mount": {value, "mount"}, "Network": {value, "network"},
	"NetworkAlias": {value, "network-alias"}, "NoNewPrivileges": {truth, "security-opt=no-new-privileges"},
	"PidsLimit": {value, "pids-limit"}, "PublishPort": {value, "publish"}, "Pull": {value, "pull"},
	"ReadOnly": {truth, "read-only"}, "RunInit": {truth, "init"}, "ShmSize": {value, "shm-size"},
	"StopSignal": {value, "stop-signal"}, "StopTimeout": {value, "stop-timeout"}, "Tmpfs": {value, "tmpfs"},
	"Ulimit": {value, "ulimit"}, "Volume": {value, "volume"}, "WorkingDir": {value, "workdir"}, "UserNS": {value, "userns"},

	"AutoUpdate":       {refuse, "pull with Pull=newer and restart the unit"},
	"Pod":              {refuse, "sbx has no pods: Network=container:NAME shares a network"},
	"Secret":           {refuse, "bind a file with Volume="},
	"Notify":           {refuse, "leave it out: the unit is up when the program is started"},
	"Rootfs":           {refuse, "import it: sbx import FILE NAME"},
	"Timezone":         {refuse, "set TZ with Environment="},
	"GlobalArgs":       {refuse, "these are podman's"},
	"UIDMap":           {refuse, "use UserNS=keep-id"},
	"GIDMap":           {refuse, "use UserNS=keep-id"},
	"ReloadCmd":        {refuse, "use ExecReload= in [Service]"},
	"LogDriver":        {refuse, "the output goes to the journal, and to sbx logs"},
	"Annotation":       {refuse, "use Label="},
	"Mask":             {refuse, "sbx masks what Docker masks"},
	"Unmask":           {refuse, "sbx masks what Docker masks"},
	"HttpProxy":        {refuse, "set the variables with Environment="},
	"SubUIDMap":        {refuse, "use UserNS=keep-id"},
	"SubGIDMap":        {refuse, "use UserNS=keep-id"},
	"HealthStartupCmd": {refuse, "use HealthStartPeriod="},
}

// container is [Container] on its way to a command line.
type container struct {
	file        string
	flags       []string
	more        []string // PodmanArgs
	image, exec string
	user, group string
	named       bool
}

// ForQuadlet is the text of a service that does what a .container file says. The
// sections that are systemd's own are left as they are.
func ForQuadlet(file, text, exe string) (string, error) {
	sections, err := parse(file, text)
	if err != nil {
		return "", err
	}
	c := container{file: file}
	var others strings.Builder
	service := false
	for _, s := range sections {
		switch {
		case s.name == "Container":
			for _, l := range s.lines {
				if err := c.key(l); err != nil {
					return "", err
				}
			}
		case s.name == "Quadlet":
			return "", api.Errorf("read", file, "the section [Quadlet] means nothing here").WithHint("leave it out")
		case s.name == "Service":
			service = true
			others.WriteString(c.service(s, exe))
		default:
			others.WriteString(written(s))
		}
	}
	if c.image == "" {
		return "", api.Errorf("read", file, "it has no [Container] with an Image=")
	}
	if !service {
		others.WriteString(c.service(section{name: "Service"}, exe))
	}
	command, err := c.command(exe)
	if err != nil {
		return "", err
	}
	return "# Made of " + filepath.Base(file) + " by sbx generate quadlet.\n" + strings.Replace(others.String(), startMark, command, 1), nil
}

// startMark stands where the command line goes: [Service] may come first.
const startMark = "\x00"

// service has systemd's own keys first, and then how the sandbox is started.
func (c *container) service(s section, exe string) string {
	text := written(s)
	text = strings.TrimSuffix(text, "\n")
	if !strings.Contains(text, "\nKillMode=") {
		text += "KillMode=mixed\n"
	}
	return text + "SyslogIdentifier=%N\n" + startMark + "\n"
}

func written(s section) string {
	text := "[" + s.name + "]\n"
	for _, l := range s.lines {
		text += l.key + "=" + l.value + "\n"
	}
	return text + "\n"
}

// key takes one line of [Container].
func (c *container) key(l line) error {
	switch l.key {
	case "Image":
		c.image = l.value
	case "Exec":
		c.exec = l.value
	case "User":
		c.user = l.value
	case "Group":
		c.group = l.value
	case "PodmanArgs":
		list, ok := words(l.value)
		if !ok {
			return c.wrong(l, "a quotation mark is not closed")
		}
		c.more = append(c.more, list...)
	default:
		return c.rule(l)
	}
	return nil
}

func (c *container) rule(l line) error {
	r, known := rules[l.key]
	switch {
	case !known:
		return c.wrong(l, "there is no such key")
	case r.kind == refuse:
		return c.wrong(l, r.flag)
	case r.kind == truth:
		switch strings.ToLower(l.value) {
		case "1", "yes", "true", "on":
			c.flags = append(c.flags, "--"+r.flag)
		case "0", "no", "false", "off":
		default:
			return c.wrong(l, fmt.Sprintf("%q is neither true nor false", l.value))
		}
		return nil
	}
	list := []string{l.value}
	if r.kind == split {
		var ok bool
		if list, ok = words(l.value); !ok {
			return c.wrong(l, "a quotation mark is not closed")
		}
	}
	for _, v := range list {
		if strings.HasSuffix(strings.Split(v, ":")[0], ".volume") && r.flag == "volume" {
			v = "systemd-" + strings.Replace(v, ".volume", "", 1) // as podman names it
		}
		if r.flag == "network" && strings.HasSuffix(v, ".network") {
			return c.wrong(l, "a .network file is not read: make the network with sbx network create, and give its name")
		}
		c.flags = append(c.flags, "--"+r.flag+"="+v)
	}
	c.named = c.named || l.key == "ContainerName"
	return nil
}

func (c *container) wrong(l line, why string) error {
	return api.Errorf("read", c.file, "line %d, %s=: %s", l.number, l.key, why)
}

// command is how systemd starts and ends the sandbox. What an earlier run may have
// left in the way, after a power cut, is removed first.
func (c *container) command(exe string) (string, error) {
	name := "systemd-%N"
	if !c.named {
		c.flags = append([]string{"--name=" + name}, c.flags...)
	}
	for _, f := range c.flags {
		if n, is := strings.CutPrefix(f, "--name="); is {
			name = n
		}
	}
	switch {
	case c.group != "" && c.user == "":
		return "", api.Errorf("read", c.file, "Group= without User=")
	case c.group != "":
		c.flags = append(c.flags, "--user="+c.user+":"+c.group)
	case c.user != "":
		c.flags = append(c.flags, "--user="+c.user)
	}
	line := quote(exe) + " run --rm"
	for _, f := range append(c.flags, c.more...) {
		line += " " + quote(f)
	}
	line += " " + quote(c.image)
	if c.exec != "" {
		line += " " + c.exec
	}
	return "ExecStartPre=-" + quote(exe) + " rm --force --volumes " + quote(name) + "\n" +
		"ExecStart=" + line + "\n" +
		"ExecStop=-" + quote(exe) + " stop " + quote(name) + "\n", nil
}
