// Package doctor finds out what a machine gives to sbx, by trying it: by the very
// functions that sandboxes are made with, in namespaces and processes of its own that
// end with it. Nothing is changed, and no supervisor is needed. A setting of the
// kernel is read only to name the cause of what has failed.
package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"time"

	"sbx/api"
	"sbx/cgroup"
	"sbx/internal/dirs"
	"sbx/sandbox"
	"sbx/slirp/ports"
	"sbx/userns"
)

// patience is how long everything may take: a helper that hangs hangs for ten seconds.
const patience = time.Minute

// Examine tries everything.
func Examine(ctx context.Context) []api.Finding {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	d, err := dirs.Find()
	if err == nil {
		if err := LeaveRoot(d); err != nil {
			return []api.Finding{api.Lacking(api.Red, "user", err, "sbx does not start", api.Remedy{})}
		}
	}
	if err != nil {
		return []api.Finding{api.Lacking(api.Red, "data directory", err, "sbx does not start", api.Remedy{})}
	}
	places := d.Check()
	findings := inNamespaces(ctx, d, red(places))
	findings = append(findings, places...)
	findings = append(findings, groups(ctx, d)...)
	findings = append(findings, sandbox.CheckLinger(userns.ThisHost().Name), ports.Check())
	return append(findings, kernel()...)
}

func red(findings []api.Finding) bool {
	for _, f := range findings {
		if f.Level == api.Red {
			return true
		}
	}
	return false
}

// inNamespaces tries what a supervisor does in its namespaces. Where there is no place
// for files, only the namespaces are tried.
func inNamespaces(ctx context.Context, d dirs.Dirs, homeless bool) []api.Finding {
	dir := d.Doctor()
	if homeless {
		dir = ""
	} else {
		unlock, err := own(dir)
		if err != nil {
			return []api.Finding{api.Lacking(api.Red, "data directory", err, "sbx does not start", api.Remedy{})}
		}
		defer unlock()
	}
	var inside []api.Finding
	findings, entered, err := enter(ctx, &inside, roleSpaces, dir, d.Run)
	if !entered {
		return findings
	}
	if err != nil {
		return append(findings, api.Lacking(api.Red, "namespaces", err, "sbx does not start", api.Remedy{}))
	}
	if len(inside) == 1 && inside[0].Name == findings[0].Name {
		return append(inside, findings[1:]...) // they were made, and are of no use
	}
	return append(findings, inside...)
}

// enter has a process try what its role says in directories, in namespaces like the
// supervisor's, and decodes what it prints. Not entered, there are none, as the findings
// say.
func enter(ctx context.Context, result any, role string, places ...string) (findings []api.Finding, entered bool, err error) {
	var out, errs bytes.Buffer
	cmd, findings := userns.Enter(ctx, userns.ThisHost(), func(ctx context.Context) *exec.Cmd {
		out.Reset()
		errs.Reset()
		cmd := probe(ctx, role, places...)
		cmd.Stdout, cmd.Stderr = &out, &errs
		return cmd
	})
	if cmd == nil {
		return findings, false, nil
	}
	if err = cmd.Wait(); err == nil {
		err = json.Unmarshal(out.Bytes(), result)
	}
	if err != nil {
		err = api.Errorf("try namespaces", "", "%v: %s", err, strings.Join(strings.Fields(errs.String()), " "))
	}
	return findings, true, err
}

// Namespaceless says why there are no user namespaces of use, found out by making some;
// nil: there are.
func Namespaceless(ctx context.Context) *api.Finding {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	findings := inNamespaces(ctx, dirs.Dirs{}, true)
	if len(findings) == 0 || findings[0].Name != userns.NamespacesCheck || findings[0].Level != api.Red {
		return nil
	}
	return &findings[0]
}

// groups asks for a cgroup in a process of its own, which then is in it. A supervisor
// that runs has asked already.
func groups(ctx context.Context, d dirs.Dirs) []api.Finding {
	if h, err := cgroup.ReadHome(d.Run); err == nil && h.Exists() {
		if _, err := os.Stat(h.Path); err == nil {
			return h.Check()
		}
	}
	var h cgroup.Home
	out, err := probe(ctx, roleCgroup).Output()
	if err == nil {
		err = json.Unmarshal(out, &h)
	}
	if err != nil {
		return []api.Finding{api.Lacking(api.Yellow, "cgroup", err, "sandboxes cannot be limited", api.Remedy{})}
	}
	h.Abandon()
	return h.Check()
}

// probe is this program in a role of package doctor.
func probe(ctx context.Context, role string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", append([]string{Role, role}, args...)...)
	cmd.Args[0] = "sbxd"
	cmd.WaitDelay = time.Second
	return cmd
}
