package sandbox

import (
	"errors"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/image"
	"sbx/internal/names"
	"sbx/sandbox/logfile"
)

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// complete fills in what the image says and checks the rest, so that what can be
// wrong about a request is said before anything is made.
func (s *Supervisor) complete(spec api.Spec, id string) (api.Config, error) {
	c := api.Config{ID: id, Created: time.Now().UTC(), Spec: spec}
	if err := checkIsolation(&c.Isolation); err != nil {
		return c, err
	}
	if c.Limits.ShmSize != 0 && c.Isolation.IPC != "" {
		return c, api.Errorf("run", spec.Image, "--shm-size is for a /dev/shm of its own, and --ipc %s shares one", c.Isolation.IPC)
	}
	if _, err := logfile.ParseOptions(c.Lifecycle.LogOpts); err != nil {
		return c, err
	}
	if _, err := parseSignal(c.Lifecycle.StopSignal, unix.SIGTERM); err != nil {
		return c, err
	}
	if err := errors.Join(checkRestart(&c.Lifecycle.Restart), checkHealth(&c.Health)); err != nil {
		return c, err
	}
	if c.Lifecycle.AutoRemove && !c.Lifecycle.Restart.None() {
		return c, api.Errorf("run", spec.Image, "conflicting options: cannot specify both --restart and --rm")
	}
	if c.Hostname == "" {
		c.Hostname = s.hostname(&c)
	}
	var err error
	if spec.Image == api.HostImage {
		if err = CompleteHost(&c); err == nil {
			err = s.completeVolumes(&c, nil)
		}
	} else {
		err = s.completeImage(&c)
	}
	if err != nil {
		return c, err
	}
	if err := completeUserns(&c, spec.Process.User); err != nil {
		return c, err
	}
	if err := s.completeNetworks(&c); err != nil {
		return c, err
	}
	if len(c.Process.Args()) == 0 {
		return c, api.Errorf("run", spec.Image, "no command is given, and the image names none").
			WithHint("say what to run: sbx run %s sh", spec.Image)
	}
	if c.Process.Args()[0] == "" {
		return c, api.Errorf("run", spec.Image, "the command is empty").WithCode(api.ExitNotFound)
	}
	return c, nil
}

// hostname is that of the sandbox whose network is shared, as Docker has it, or the
// beginning of the id.
func (s *Supervisor) hostname(c *api.Config) string {
	if name, ok := strings.CutPrefix(c.Isolation.Network, "container:"); ok {
		s.mu.Lock()
		defer s.mu.Unlock()
		if other, err := s.find(name); err == nil {
			return other.config.Hostname
		}
	}
	return shortID(c.ID)
}

func (s *Supervisor) completeImage(c *api.Config) error {
	store, err := s.images()
	if err != nil {
		return err
	}
	img, err := store.Resolve(c.Image)
	if err != nil {
		return err
	}
	c.ImageID, c.Layers, c.Architecture = img.ID, img.Layers, foreign(&img)
	if c.Driver, err = s.overlay.driver(s); err != nil {
		return err
	}
	mergeProcess(c, img.Config)
	mergeHealth(&c.Health, &img.Config)
	for port := range img.Config.ExposedPorts {
		if !slices.Contains(c.Net.Expose, port) {
			c.Net.Expose = append(c.Net.Expose, port)
		}
	}
	labels := map[string]string{}
	for k, v := range img.Config.Labels {
		labels[k] = v
	}
	for k, v := range c.Labels {
		labels[k] = v
	}
	c.Labels = labels
	if c.Lifecycle.StopSignal == "" {
		c.Lifecycle.StopSignal = img.Config.StopSignal
	}
	return s.completeVolumes(c, img.Config.Volumes)
}

// mergeProcess joins the image's process with the user's, by Docker's rules: an
// entry point of the user's own forgets the image's command too.
func mergeProcess(c *api.Config, img image.Config) {
	p := &c.Process
	if !c.EntrypointSet {
		p.Entrypoint = img.Entrypoint
		if len(p.Cmd) == 0 {
			p.Cmd = img.Cmd
		}
	}
	if p.WorkDir == "" {
		p.WorkDir = img.WorkDir
	}
	if p.User == "" {
		p.User = img.User
	}
	env := []string{"PATH=" + defaultPath, "HOSTNAME=" + c.Hostname}
	if p.TTY {
		env = append(env, "TERM=xterm")
	}
	// An entry without "=" would mean the host's value to some programs
	// (CVE-2026-57231): the image cannot have one.
	for _, kv := range img.Env {
		if strings.IndexByte(kv, '=') > 0 {
			env = append(env, kv)
		}
	}
	p.Env = mergeEnv(env, p.Env)
}

// mergeEnv joins environments; the last value of a name counts, in the place of
// the first.
func mergeEnv(lists ...[]string) []string {
	var env []string
	at := map[string]int{}
	for _, kv := range slices.Concat(lists...) {
		name, _, _ := strings.Cut(kv, "=")
		if i, ok := at[name]; ok {
			env[i] = kv
			continue
		}
		at[name] = len(env)
		env = append(env, kv)
	}
	return env
}

// CompleteHost makes the host's own file system the image: the program runs as
// the caller, whom the host's /etc/passwd knows, with a clean environment.
func CompleteHost(c *api.Config) error {
	if c.Caller.Home == "" || c.Caller.Home[0] != '/' {
		return api.Errorf("run", api.HostImage, "your home directory is not known").WithHint("set HOME")
	}
	p := &c.Process
	if len(p.Entrypoint)+len(p.Cmd) == 0 {
		p.Cmd = []string{"/bin/sh"}
	}
	if p.WorkDir == "" {
		p.WorkDir = c.Caller.Home
	}
	env := []string{"PATH=" + defaultPath, "HOSTNAME=" + c.Hostname, "HOME=" + c.Caller.Home,
		"USER=" + c.Caller.Name, "LOGNAME=" + c.Caller.Name}
	if c.Caller.Lang != "" {
		env = append(env, "LANG="+c.Caller.Lang)
	}
	if p.TTY && c.Caller.Term != "" {
		env = append(env, "TERM="+c.Caller.Term)
	}
	p.Env = mergeEnv(env, p.Env)
	return nil
}

// checkName finds a name for a sandbox that has none, and refuses one that is
// taken. The caller holds the lock.
func checkName(s *Supervisor, c *api.Config) error {
	if c.Name == "" {
		c.Name = names.Random(func(name string) bool { return s.names[name] != nil })
		return nil
	}
	if err := names.Valid(c.Name); err != nil {
		return err
	}
	if b := s.names[c.Name]; b != nil {
		return api.Errorf("create", c.Name, "the name is in use by sandbox %s", shortID(b.config.ID)).
			WithHint("remove that one (sbx rm %s) or choose another name", c.Name)
	}
	return nil
}
