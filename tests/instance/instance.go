// Package instance gives tests and benchmarks an sbx of their own: private
// directories, and an account of the processes, mounts and files that belong to
// it, so that what leaks is seen.
package instance

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Instance is one sbx with directories of its own.
type Instance struct {
	Bin  string // directory with sbx and sbxd
	Root string // holds Data and Run; short, since sun_path has 108 bytes
	Data string // SBX_DATA
	Run  string // SBX_RUN
	Home string // HOME of the callers; not in /tmp, which is private in a sandbox of the host
	// Extra is added to the environment of commands. The supervisor gets what is
	// there when it starts.
	Extra []string
}

// New makes the directories. The supervisor starts with the first command.
func New(bin string) (*Instance, error) {
	root, err := os.MkdirTemp("/tmp", "sbx-t-")
	if err != nil {
		return nil, err
	}
	i := &Instance{Bin: bin, Root: root,
		Data: filepath.Join(root, "data"), Run: filepath.Join(root, "run")}
	for _, dir := range []string{i.Data, i.Run} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return nil, err
		}
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, err
	}
	i.Home, err = os.MkdirTemp(home, "sbx-t-")
	return i, err
}

// RunInMemory puts the runtime directory where it is on a machine with a session
// manager: on a tmpfs. It must be called before the first command.
func (i *Instance) RunInMemory() error {
	run, err := os.MkdirTemp("/dev/shm", "sbx-t-")
	if err != nil {
		return err
	}
	if err := os.Remove(i.Run); err != nil {
		return err
	}
	i.Run = run
	return nil
}

// Sbx is the path of the command.
func (i *Instance) Sbx() string { return filepath.Join(i.Bin, "sbx") }

// Env is the whole environment of a command of this instance.
func (i *Instance) Env() []string {
	env := []string{
		"PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LANG=C.UTF-8", "TERM=xterm",
		"HOME=" + i.Home, "SBX_DATA=" + i.Data, "SBX_RUN=" + i.Run,
	}
	for _, name := range []string{"USER", "LOGNAME"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return append(env, i.Extra...)
}

// Patience is how long something may take that is bound to happen. SBX_PATIENCE says
// it for a slow machine, in the words of time.ParseDuration.
var Patience = patience(os.Getenv("SBX_PATIENCE"))

func patience(words string) time.Duration {
	if words == "" {
		return 30 * time.Second
	}
	d, err := time.ParseDuration(words)
	if err != nil || d <= 0 {
		panic("SBX_PATIENCE is no duration: " + words)
	}
	return d
}

// Command is sbx with args, in this instance and in its home directory.
func (i *Instance) Command(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, i.Sbx(), args...)
	c.Env = i.Env()
	c.Dir = i.Home
	// A program that got our pipe and outlives the command must not hold Wait.
	c.WaitDelay = 5 * time.Second
	return c
}

// Clear removes every sandbox by sbx itself.
func (i *Instance) Clear() error {
	if _, err := os.Lstat(filepath.Join(i.Run, "sock")); err != nil {
		return nil // never started
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*Patience)
	defer cancel()
	ids, err := i.Command(ctx, "ps", "-aq", "--no-trunc").Output()
	if err != nil {
		return fmt.Errorf("sbx ps: %w", err)
	}
	names := strings.Fields(string(ids))
	if len(names) == 0 {
		return nil
	}
	if out, err := i.Command(ctx, append([]string{"rm", "-f"}, names...)...).CombinedOutput(); err != nil {
		return fmt.Errorf("sbx rm -f: %w: %s", err, out)
	}
	return nil
}

// Stop ends the supervisor as a logout would, by SIGTERM to the processes that no
// other process of the instance started, and waits until all are gone.
func (i *Instance) Stop(wait time.Duration) error {
	for _, p := range top(i.Processes()) {
		// A process that has ended by itself is what we want.
		_ = syscall.Kill(p.PID, syscall.SIGTERM)
	}
	left := i.WaitGone(wait, func(Process) bool { return true })
	if len(left) > 0 {
		return fmt.Errorf("after SIGTERM these are left:\n%s", list(left))
	}
	return nil
}

// WaitGone waits until no process of the instance matches, and returns the ones
// that still do after that time.
func (i *Instance) WaitGone(wait time.Duration, match func(Process) bool) []Process {
	for end := time.Now().Add(wait); ; time.Sleep(20 * time.Millisecond) {
		var left []Process
		for _, p := range i.Processes() {
			if match(p) {
				left = append(left, p)
			}
		}
		if len(left) == 0 || time.Now().After(end) {
			return left
		}
	}
}

// Kill ends every process of the instance, without asking.
func (i *Instance) Kill() {
	for range 50 {
		all := i.Processes()
		if len(all) == 0 {
			return
		}
		for _, p := range all {
			_ = syscall.Kill(p.PID, syscall.SIGKILL) // it may have ended meanwhile
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Remove deletes the directories, with the files in them that belong to
// subordinate ids.
func (i *Instance) Remove() error {
	for _, dir := range []string{i.Home, i.Run} {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	if os.RemoveAll(i.Root) == nil {
		return nil
	}
	// Only the user's own root over those ids may: newuidmap(1) by unshare(1).
	ctx, cancel := context.WithTimeout(context.Background(), 2*Patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, "unshare", "--user", "--map-root-user", "--map-auto", "--",
		"rm", "-rf", "--one-file-system", i.Root).CombinedOutput()
	if err != nil {
		return fmt.Errorf("remove %s: %w: %s", i.Root, err, out)
	}
	return nil
}

func list(all []Process) string {
	var b strings.Builder
	for _, p := range all {
		fmt.Fprintf(&b, "  %s\n", p)
	}
	return strings.TrimSuffix(b.String(), "\n")
}
