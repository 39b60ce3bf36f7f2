package userns

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"syscall"

	"github.com/rootless-containers/rootlesskit/v3/pkg/parent/dynidtools"
	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/remedy"
)

// Names of findings.
const (
	NamespacesCheck = "user namespaces"
	idsCheck        = "subordinate ids"
)

// These are what does not work without.
const (
	lostNamespaces = "no sandbox can be started; Landlock and seccomp alone confine what sbx run host runs"
	lostSandboxes  = "no sandbox can be started"
	lostIDs        = "all files of images and sandboxes belong to you: other owners are not kept, and programs cannot become another user"
)

// awaitFD is the descriptor on which a process of Enter is told that it is mapped.
const awaitFD = 3

// Enter starts a process in user and mount namespaces of its own, with the ids that
// the supervisor's would get, and says how that went. The program is one that calls
// Await first of all. No process and a red finding is what a machine gives that has
// no user namespaces. It ends with ctx, at the latest; the caller waits for it.
func Enter(ctx context.Context, h Host, command func(context.Context) *exec.Cmd) (*exec.Cmd, []api.Finding) {
	if h.NoNewPrivileges {
		return nil, []api.Finding{api.Lacking(api.Red, NamespacesCheck, NoNewPrivileges(), lostNamespaces, api.Remedy{})}
	}
	source, reason, r := choose(h)
	var findings []api.Finding
	if reason != nil {
		findings = append(findings, api.Lacking(api.Yellow, idsCheck, reason, lostIDs, r))
	} else {
		cmd, mapped, err := enter(ctx, h, source, command)
		switch {
		case err == nil:
			return cmd, append(findings, namespacesFound(), enough(mapped, source))
		case cmd == nil:
			return nil, []api.Finding{Restricted(err)}
		}
		// The supervisor fails where a map that ought to be possible is refused: that
		// something is broken is not to be hidden by running with less.
		findings = append(findings, api.Lacking(api.Red, idsCheck, err, lostSandboxes, broken(h)))
	}
	cmd, _, err := enter(ctx, h, Single, command)
	if err != nil {
		return nil, append([]api.Finding{Restricted(err)}, findings...)
	}
	return cmd, append([]api.Finding{namespacesFound()}, findings...)
}

func namespacesFound() api.Finding {
	f := api.Finding{Name: NamespacesCheck, Level: api.Green, What: "can be made"}
	const few = 64 // a sandbox takes one, and one more with users of its own
	if most, err := strconv.Atoi(setting("user/max_user_namespaces")); err == nil && most < few {
		f.Level, f.What = api.Yellow, fmt.Sprintf("can be made, but no more than %d", most)
		f.Lost, f.Remedy = "every sandbox takes one or two", remedy.MaxUserNamespaces()
	}
	return f
}

// Restricted is the finding that a user namespace could not be made, or not be used.
func Restricted(err error) api.Finding {
	why, r := restriction(err, setting)
	e := *api.Wrap("create namespaces", "", err)
	e.Hint = why
	return api.Finding{Name: NamespacesCheck, Level: api.Red, What: e.Error(), Lost: lostNamespaces, Remedy: r}
}

// broken is what to do about helpers that refuse the ranges that the files have.
func broken(h Host) api.Remedy {
	dir := "/usr/bin/"
	for _, name := range []string{"newuidmap", "newgidmap"} {
		path, err := exec.LookPath(name)
		if err != nil {
			return remedy.Newuidmap()
		}
		dir = path[:strings.LastIndexByte(path, '/')+1]
	}
	r := remedy.UnprivilegedNewuidmap(dir+"newuidmap", dir+"newgidmap")
	r.Text += ", and give no id of " + strconv.Itoa(h.UID) + " in /etc/subuid and /etc/subgid to anybody else"
	return r
}

// enough says whether images can be expected to do with so many ids.
func enough(mapped int, source Source) api.Finding {
	from := "/etc/subuid and /etc/subgid"
	if source == Dynamic {
		from = "getsubids"
	}
	f := api.Finding{Name: idsCheck, Level: api.Green, What: fmt.Sprintf("%d beside your own, from %s", mapped, from)}
	if source == Root {
		f.What = fmt.Sprintf("%d from %d on; root itself is in no sandbox", mapped+1, os.Getuid())
	}
	if mapped < usualLength-1 {
		f.Level, f.Lost = api.Yellow, "images with files of owners above that, such as nobody (65534), cannot be unpacked"
		f.Text = "a range of " + strconv.Itoa(usualLength) + " ids is usual: see subuid(5)"
	}
	return f
}

// enter returns a process without an error when it is on its way. With an error,
// no process means that there was none.
func enter(ctx context.Context, h Host, source Source, command func(context.Context) *exec.Cmd) (_ *exec.Cmd, mapped int, err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, 0, err
	}
	defer w.Close()
	cmd := command(ctx)
	cmd.ExtraFiles = []*os.File{r} // awaitFD
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	err = cmd.Start()
	r.Close()
	if err != nil {
		return nil, 0, err
	}
	if mapped, err = writeMaps(ctx, h, source, cmd.Process.Pid); err == nil {
		_, err = w.WriteString(mappedWord)
	}
	if err != nil {
		// It ends at the end of the pipe; why it was there is told already.
		w.Close()
		_ = cmd.Wait()
	}
	return cmd, mapped, err
}

const mappedWord = "mapped\n"

// Await waits until the maps of this process are written, and executes the program
// anew, with args: that is how the process gets its capabilities. It returns when
// there will be no maps.
func Await(args []string) error {
	f := os.NewFile(awaitFD, "maps")
	word := make([]byte, len(mappedWord))
	n, err := f.Read(word)
	if string(word[:n]) != mappedWord {
		return errors.Join(errors.New("the id maps were not written"), err)
	}
	f.Close()
	return os.NewSyscallError("execve", unix.Exec("/proc/self/exe", args, os.Environ()))
}

// writeMaps gives a process the ids of a source, in the way that the supervisor gets
// them, and tells the number of subordinate ones.
func writeMaps(ctx context.Context, h Host, source Source, pid int) (mapped int, err error) {
	uids, gids, err := ranges(h, source)
	if err != nil {
		return 0, err
	}
	most := 0
	for _, m := range []struct {
		helper, file string
		own          int
		ranges       []Range
	}{{"newuidmap", "uid_map", os.Getuid(), uids}, {"newgidmap", "gid_map", os.Getgid(), gids}} {
		args := []string{strconv.Itoa(pid), "0", strconv.Itoa(m.own), "1"}
		if source == Single {
			if err := ownID(args, m.file); err != nil {
				return 0, err
			}
			continue
		}
		next := 1
		for _, r := range without(m.ranges, m.own) {
			args = append(args, strconv.Itoa(next), strconv.Itoa(r.Start), strconv.Itoa(r.Length))
			next += r.Length
		}
		if source == Root {
			if err := writeGiven(args, m.file); err != nil {
				return 0, err
			}
		} else if out, err := exec.CommandContext(ctx, m.helper, args...).CombinedOutput(); err != nil {
			return 0, api.Errorf("run", m.helper, "%s", strings.Join(append(strings.Fields(string(out)), "("+err.Error()+")"), " "))
		}
		if most == 0 || next-1 < most {
			most = next - 1
		}
	}
	return most, nil
}

func ranges(h Host, source Source) (uids, gids []Range, err error) {
	switch source {
	case Static:
		return ParseRanges(h.Subuid, h.Name, h.UID), ParseRanges(h.Subgid, h.Name, h.UID), nil
	case Root:
		return []Range{h.Given.UIDs}, []Range{h.Given.GIDs}, nil
	case Dynamic:
		name := h.Name
		if u, err := user.Current(); err == nil {
			name = u.Username
		}
		u, g, err := dynidtools.GetSubIDRanges(h.UID, name)
		for _, r := range u {
			uids = append(uids, Range{r.Start, r.Length})
		}
		for _, r := range g {
			gids = append(gids, Range{r.Start, r.Length})
		}
		return uids, gids, err
	}
	return nil, nil, nil
}

// without leaves an id out: newuidmap takes none twice.
func without(ranges []Range, id int) []Range {
	var list []Range
	for _, r := range ranges {
		head, tail := min(max(id-r.Start, 0), r.Length), min(max(r.Start+r.Length-id-1, 0), r.Length)
		if head > 0 {
			list = append(list, Range{r.Start, head})
		}
		if tail > 0 && head < r.Length {
			list = append(list, Range{max(r.Start, id+1), tail})
		}
	}
	return list
}
