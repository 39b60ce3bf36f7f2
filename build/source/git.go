package source

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/build/files"
	"sbx/internal/dirs"
	"sbx/internal/sys"
)

// gitOptions are those of one use of a repository.
type gitOptions struct {
	context    bool // it is the context, which the user has named
	checksum   string
	keepGitDir *bool
}

// FetchGit finds out which commit of a repository an ADD means. It must begin with the
// checksum, if there is one. With keepGitDir .git is copied too; nil leaves it to the
// URL. It is got when it is written.
func FetchGit(ctx context.Context, source, checksum string, keepGitDir *bool, o Options) (*Tree, error) {
	return fetchGit(ctx, source, gitOptions{checksum: checksum, keepGitDir: keepGitDir}, &o)
}

func fetchGit(ctx context.Context, source string, g gitOptions, o *Options) (*Tree, error) {
	r, err := parseGit(source, g.context)
	if err != nil {
		return nil, err
	}
	if g.checksum != "" && r.checksum != "" && g.checksum != r.checksum {
		return nil, api.Errorf("clone", r.shown(), "checksum mismatch %q != %q", g.checksum, r.checksum)
	}
	if g.keepGitDir != nil && r.keepGitDir != nil && *g.keepGitDir != *r.keepGitDir {
		return nil, api.Errorf("clone", r.shown(), "--keep-git-dir says something else than the URL")
	}
	if g.checksum == "" {
		g.checksum = r.checksum
	}
	if g.keepGitDir == nil {
		g.keepGitDir = r.keepGitDir
	}
	p, err := o.private()
	if err != nil {
		return nil, err
	}
	repo := &repository{gitRef: r, dir: filepath.Join(p.path, "tree"), asked: g.context, local: g.context && r.scheme == "file", agent: o.Agent}
	t := &Tree{private: p, root: files.Root{Shown: "the repository"}}
	t.get = func(ctx context.Context) error { return t.checkOut(ctx, repo, &g) }
	if err := t.resolve(ctx, repo, &g); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	t.digest = strings.Join([]string{"git", t.Commit, r.dir, strconv.FormatBool(g.keep()), strconv.FormatBool(r.submodules)}, " ")
	return t, nil
}

func (g *gitOptions) keep() bool { return g.keepGitDir != nil && *g.keepGitDir }

// repository is where a tree is checked out.
type repository struct {
	*gitRef
	dir   string
	asked bool // the user has named it, not a Dockerfile
	local bool // the user has named a directory: git may read it
	agent string
}

// resolve finds out which commit is meant, and gets it at once only if the server does
// not tell otherwise.
func (t *Tree) resolve(ctx context.Context, r *repository, g *gitOptions) (err error) {
	if err := os.Mkdir(r.dir, 0o755); err != nil {
		return dirs.DiskError("mkdir", r.dir, err)
	}
	if _, err := r.git(ctx, "init", "-q", "--template="); err != nil {
		return err
	}
	if t.Commit, err = r.commit(ctx); err != nil {
		return err
	}
	if t.Commit == "" {
		if err := t.ready(ctx); err != nil {
			return err
		}
	}
	if !strings.HasPrefix(t.Commit, g.checksum) {
		return api.Errorf("clone", r.shown(), "expected checksum to match %s, got %s", g.checksum, t.Commit)
	}
	return nil
}

// commit asks the server which commit a branch or a tag is. It is empty if the server
// knows neither: the beginning of a commit's name can be meant.
func (r *repository) commit(ctx context.Context) (string, error) {
	if commitName.MatchString(r.ref) {
		return r.ref, nil
	}
	names := []string{"HEAD"}
	if r.ref != "" {
		// As git fetch looks for it, gitrevisions(7); "^{}" is what a tag object leads to.
		names = []string{r.ref + "^{}", r.ref, "refs/" + r.ref + "^{}", "refs/" + r.ref, "refs/tags/" + r.ref + "^{}", "refs/tags/" + r.ref, "refs/heads/" + r.ref}
	}
	out, err := r.git(ctx, append([]string{"ls-remote", "-q", "--", r.remote}, names...)...)
	if err != nil {
		return "", err
	}
	found := map[string]string{}
	for line := range strings.Lines(out) {
		commit, name, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if commitName.MatchString(commit) {
			found[name] = commit
		}
	}
	for _, name := range names {
		if found[name] != "" {
			return found[name], nil
		}
	}
	return "", nil
}

// checkOut gets the commit, and makes it a directory to be copied from.
func (t *Tree) checkOut(ctx context.Context, r *repository, g *gitOptions) error {
	if err := r.fetch(ctx); err != nil {
		return err
	}
	out, err := r.git(ctx, "rev-parse", "--verify", "HEAD^{commit}")
	if err != nil {
		return err
	}
	commit := strings.TrimSpace(out)
	if t.Commit != "" && t.Commit != commit {
		return api.Errorf("clone", r.shown(), "it has changed since the build began").WithHint("build again")
	}
	t.Commit = commit
	if r.submodules {
		if err := r.update(ctx); err != nil {
			return err
		}
	}
	if err := tidy(r.dir, g.keep()); err != nil {
		return dirs.DiskError("tidy", r.dir, err)
	}
	return t.open(r)
}

// open opens the directory that is meant. In a hostile repository it may be a link.
func (t *Tree) open(r *repository) error {
	root, err := openPath(r.dir)
	if err != nil {
		return dirs.DiskError("open", r.dir, err)
	}
	if r.gitRef.dir == "" {
		t.root.Dir = root
		return nil
	}
	defer root.Close()
	fd, err := sys.OpenInRoot(int(root.Fd()), "/"+r.gitRef.dir, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		var errno unix.Errno
		errors.As(err, &errno)
		return api.Wrap("open", r.gitRef.dir+" of "+r.shown(), errno)
	}
	t.root.Dir = os.NewFile(uintptr(fd), r.gitRef.dir)
	return nil
}

// commitName is a whole commit's.
var commitName = regexp.MustCompile(`^[0-9a-f]{40}(?:[0-9a-f]{24})?$`)

// fetch gets the commit that is meant, and nothing older if the server can do that.
func (r *repository) fetch(ctx context.Context) error {
	ref := r.ref
	if ref == "" {
		ref = "HEAD"
	}
	_, err := r.git(ctx, "fetch", "-q", "--no-tags", "--depth=1", "--", r.remote, ref)
	if err == nil {
		_, err = r.git(ctx, "checkout", "-q", "--detach", "FETCH_HEAD")
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	// A server may have no commits but those of its branches and tags, and one that only
	// serves files sends all of the history.
	if _, err1 := r.git(ctx, "fetch", "-q", "--", r.remote, "+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"); err1 != nil {
		return err
	}
	for _, name := range []string{"refs/remotes/origin/" + strings.TrimPrefix(ref, "refs/heads/"), "refs/tags/" + strings.TrimPrefix(ref, "refs/tags/"), ref} {
		if strings.HasPrefix(name, "refs/") && strings.Contains(name, "HEAD") {
			continue
		}
		if _, err1 := r.git(ctx, "rev-parse", "-q", "--verify", name+"^{commit}"); err1 == nil {
			_, err1 = r.git(ctx, "checkout", "-q", "--detach", name)
			return err1
		}
	}
	if _, err1 := r.git(ctx, "fetch", "-q", "--", r.remote, ref); err1 != nil {
		return err
	}
	_, err = r.git(ctx, "checkout", "-q", "--detach", "FETCH_HEAD")
	return err
}

// update gets the repositories that are a part of this one. Whoever has written it names
// them, not the user: they are fetched like those of a Dockerfile.
func (r *repository) update(ctx context.Context) error {
	if _, err := os.Lstat(filepath.Join(r.dir, ".gitmodules")); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	// Relative URLs of submodules begin at origin's.
	if _, err := r.git(ctx, "remote", "add", "origin", r.shownRemote()); err != nil {
		return err
	}
	parts := *r
	parts.asked, parts.local = false, false
	_, err := parts.git(ctx, "submodule", "-q", "update", "--init", "--recursive", "--depth=1")
	return err
}

// shownRemote is the repository as it may stay in .git: without a password.
func (r *repository) shownRemote() string {
	if r.shown() == r.remote {
		return r.remote
	}
	before, after, _ := strings.Cut(r.remote, "://")
	_, after, _ = strings.Cut(after, "@")
	return before + "://" + after
}

// git runs git, and gives what it prints. Nothing of the repository is executed, and no
// question is asked. For a repository that the user has named the user's own
// configuration counts: it may say how the server is reached. One that a Dockerfile names
// must not be had with passwords of the user's: git has no home then, which is where
// they, programs that know them (credential.helper) and ~/.netrc are found.
func (r *repository) git(ctx context.Context, args ...string) (string, error) {
	name, err := exec.LookPath("git")
	if err != nil {
		return "", api.Errorf("clone", r.shown(), "there is no git on this machine").WithHint("install git")
	}
	safe := []string{"-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "init.defaultBranch=main",
		"-c", "advice.detachedHead=false", "-c", "protocol.ext.allow=never", "-c", "core.symlinks=true", "-c", "gc.auto=0"}
	hidden := []string{"GIT_", "SSH_AUTH_SOCK="}
	if !r.asked {
		safe = append(safe, "-c", "credential.helper=") // none of /etc/gitconfig either
		hidden = append(hidden, "HOME=", "XDG_CONFIG_HOME=")
	}
	cmd := exec.CommandContext(ctx, name, append(safe, args...)...)
	cmd.Dir = r.dir
	protocols := "http:https:ssh:git"
	if r.local {
		protocols = "file"
	}
	// The environment is that of the first command of the user's: its agent is none that
	// he has given to this build.
	for _, v := range os.Environ() {
		if !slices.ContainsFunc(hidden, func(name string) bool { return strings.HasPrefix(v, name) }) {
			cmd.Env = append(cmd.Env, v)
		}
	}
	if !r.asked {
		cmd.Env = append(cmd.Env, "HOME=/dev/null")
	}
	cmd.Env = append(cmd.Env, "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=", "SSH_ASKPASS=", "GIT_ALLOW_PROTOCOL="+protocols,
		"GIT_SSH_COMMAND="+r.sshCommand(os.Getenv("HOME")), "GIT_DIR="+filepath.Join(r.dir, ".git"), "LC_ALL=C")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if r.agent != "" {
		cmd.Env = append(cmd.Env, "SSH_AUTH_SOCK="+r.agent)
	}
	// Not git alone, but what it has started is to end. The signal comes when the thread
	// that has started it ends, prctl(2).
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	asUser(cmd.SysProcAttr)
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		return "", r.failure(errs.String(), err)
	}
	return out.String(), nil
}

// failure is what git has said, and for ssh what to do about it.
func (r *repository) failure(text string, err error) *api.Error {
	e := api.Errorf("clone", r.shown(), "%s", r.said(text, err))
	if r.scheme == "ssh" {
		r.explainSSH(e, text)
	}
	return e
}

// said is what git has said last that tells something, without the password.
func (r *repository) said(text string, err error) string {
	lines := strings.Split(strings.TrimSpace(strings.ReplaceAll(text, r.remote, r.shown())), "\n")
	for _, line := range lines {
		if rest, ok := strings.CutPrefix(line, "fatal: "); ok {
			return rest
		}
	}
	if last := lines[len(lines)-1]; last != "" {
		return strings.TrimPrefix(last, "error: ")
	}
	return err.Error()
}

// tidy makes modes the same whatever the umask is, and removes what git keeps. A link is
// left as it is.
func tidy(top string, keep bool) error {
	return filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == top {
			return err
		}
		if d.Name() == ".git" && !keep {
			if err := os.RemoveAll(path); err != nil {
				return err
			}
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		st, err := d.Info()
		if err != nil || st.Mode().Type()&^fs.ModeDir != 0 {
			return err
		}
		mode := fs.FileMode(0o644)
		if d.IsDir() || st.Mode()&0o100 != 0 {
			mode = 0o755
		}
		return os.Chmod(path, mode)
	})
}
