package source

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sbx/api"
	"sbx/tests/promised"
)

func TestGitWords(t *testing.T) {
	yes, no := true, false
	for _, c := range []struct {
		source  string
		context bool // understood for a context
		add     bool // and for ADD
		want    gitRef
		fails   string
	}{
		{source: "https://h/u/r.git", context: true, add: true, want: gitRef{remote: "https://h/u/r.git", submodules: true}},
		{source: "https://h/u/r.git#v1:sub/../dir", context: true, add: true, want: gitRef{remote: "https://h/u/r.git", ref: "v1", dir: "dir", submodules: true}},
		{source: "https://h/u/r.git#:../../etc", context: true, add: true, want: gitRef{remote: "https://h/u/r.git", dir: "etc", submodules: true}},
		{source: "git@h:u/r.git#x", context: true, add: true, want: gitRef{remote: "git@h:u/r.git", ref: "x", submodules: true}},
		{source: "git@h:u/r?subdir=d", context: true, add: true, want: gitRef{remote: "git@h:u/r", dir: "d", submodules: true}},
		{source: "ssh://git@h:22/r", context: true, add: true, want: gitRef{remote: "ssh://git@h:22/r", submodules: true}},
		{source: "git://h/r", context: true, add: true, want: gitRef{remote: "git://h/r", submodules: true}},
		{source: "https://h/r.git?tag=v1&subdir=d&checksum=ab&submodules=false&keep-git-dir", context: true, add: true,
			want: gitRef{remote: "https://h/r.git", ref: "refs/tags/v1", dir: "d", checksum: "ab", keepGitDir: &yes}},
		{source: "https://h/r.git?branch=b&keep-git-dir=0", context: true, add: true, want: gitRef{remote: "https://h/r.git", ref: "refs/heads/b", submodules: true, keepGitDir: &no}},
		{source: "github.com/u/r", context: true, want: gitRef{remote: "https://github.com/u/r", submodules: true}},
		{source: "file:///src/r", context: true, want: gitRef{remote: "file:///src/r", submodules: true}},
		{source: "https://h/r.tar"},
		{source: "./r.git"},
		{source: "r.git"},
		{source: "ext::sh -c x"},
		{source: "https://h/r.git?nope=1", context: true, add: true, fails: "unknown"},
		{source: "https://h/r.git?ref=a&branch=b", context: true, add: true, fails: "conflicts"},
		{source: "https://h/r.git?tag=", context: true, add: true, fails: "no value"},
		{source: "https://h/r.git#--upload-pack=x", context: true, add: true, fails: "no branch"},
		{source: "https://h/r.git#a:b:c", context: true, add: true, want: gitRef{remote: "https://h/r.git", ref: "a", dir: "b:c", submodules: true}},
	} {
		if IsGit(c.source, true) != c.context || IsGit(c.source, false) != c.add {
			t.Errorf("%s: context %v, add %v", c.source, IsGit(c.source, true), IsGit(c.source, false))
		}
		if !c.context {
			continue
		}
		got, err := parseGit(c.source, true)
		if c.fails != "" {
			if err == nil || !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%s: error %v, want one with %q", c.source, err, c.fails)
			}
			continue
		}
		if err != nil {
			t.Error(err)
			continue
		}
		show := func(r gitRef) string {
			keep := "nil"
			if r.keepGitDir != nil {
				keep = fmt.Sprint(*r.keepGitDir)
			}
			return fmt.Sprint(r.remote, "|", r.ref, "|", r.dir, "|", r.checksum, "|", r.submodules, keep)
		}
		if show(*got) != show(c.want) {
			t.Errorf("%s: %s, want %s", c.source, show(*got), show(c.want))
		}
	}
}

// repositories makes one with branches, a tag, a submodule and things that would be
// executed by one who is careless, and serves it: with all that git can do, and as
// plain files.
func repositories(t *testing.T) (dir, smart, dumb string, commits []string) {
	t.Helper()
	backend := filepath.Join(run(t, ".", "git", "--exec-path"), "git-http-backend")
	top := t.TempDir()
	s := httptest.NewServer(http.StripPrefix("/dumb", http.FileServer(http.Dir(top))))
	t.Cleanup(s.Close)
	h := &cgi.Handler{Path: backend, Root: "/", Env: []string{"GIT_PROJECT_ROOT=" + top, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"}}
	s2 := httptest.NewServer(h)
	t.Cleanup(s2.Close)

	lib := top + "/lib"
	write(t, lib+"/inner", "library")
	run(t, lib, "git", "init", "-q", "-b", "main")
	run(t, lib, "git", "add", ".")
	run(t, lib, "git", "commit", "-qm", "1")
	run(t, top, "git", "clone", "-q", "--bare", lib, "lib.git")

	work := top + "/work"
	write(t, work+"/Dockerfile", "FROM one")
	run(t, work, "git", "init", "-q", "-b", "main")
	run(t, work, "git", "add", ".")
	run(t, work, "git", "commit", "-qm", "1")
	run(t, work, "git", "tag", "-a", "-m", "x", "v1")
	write(t, work+"/Dockerfile", "FROM two")
	write(t, work+"/sub/Dockerfile", "FROM sub")
	if err := errors.Join(os.WriteFile(work+"/tool", []byte("#!/bin/sh\n"), 0o755), os.Symlink("/etc", work+"/out")); err != nil {
		t.Fatal(err)
	}
	run(t, work, "git", "add", ".")
	run(t, work, "git", "commit", "-qm", "2")
	run(t, work, "git", "branch", "other")
	run(t, work, "git", "-c", "protocol.file.allow=always", "submodule", "-q", "add", s2.URL+"/lib.git", "lib")
	run(t, work, "git", "commit", "-qm", "3")
	run(t, top, "git", "clone", "-q", "--bare", work, "r.git")
	for _, r := range []string{"/r.git", "/lib.git"} {
		run(t, top+r, "git", "update-server-info")
	}
	return top, s2.URL, s.URL + "/dumb", strings.Fields(run(t, work, "git", "rev-list", "--reverse", "main"))
}

func TestGit(t *testing.T) {
	dir, smart, dumb, commits := repositories(t)
	keep := true
	for _, c := range []struct {
		source, checksum string
		keep             *bool
		context          bool
		text             string // of the Dockerfile
		commit           int
		has, not         string
		fails            string
	}{
		{source: smart + "/r.git", text: "FROM two", commit: 2, has: "tool lib/inner", not: ".git lib/.git"},
		{source: smart + "/r.git#main", text: "FROM two", commit: 2},
		{source: smart + "/r.git#v1", text: "FROM one", commit: 0, not: "tool"},
		{source: smart + "/r.git?tag=v1", text: "FROM one", commit: 0},
		{source: smart + "/r.git#refs/heads/other", text: "FROM two", commit: 1, not: "lib/inner"},
		{source: smart + "/r.git#other:sub", text: "FROM sub", commit: 1},
		{source: smart + "/r.git#" + commits[1], text: "FROM two", commit: 1},
		{source: smart + "/r.git#" + commits[1][:10], text: "FROM two", commit: 1},
		{source: smart + "/r.git", keep: &keep, text: "FROM two", commit: 2, has: ".git/HEAD lib/inner"},
		{source: smart + "/r.git?submodules=0", text: "FROM two", commit: 2, not: "lib/inner"},
		{source: smart + "/r.git", checksum: commits[2][:12], text: "FROM two", commit: 2},
		{source: smart + "/r.git", checksum: commits[1], fails: "expected checksum to match"},
		{source: smart + "/r.git#nope", fails: "couldn't find remote ref"},
		{source: smart + "/r.git#:nodir", fails: "no such file"},
		{source: smart + "/r.git#:out", fails: "no such file"},
		{source: smart + "/none.git", fails: "not found"},
		{source: dumb + "/r.git", text: "FROM two", commit: 2},
		{source: dumb + "/r.git#v1", text: "FROM one", commit: 0},
		{source: dumb + "/r.git#other", text: "FROM two", commit: 1},
		{source: dumb + "/r.git#" + commits[1], text: "FROM two", commit: 1},
		{source: "file://" + dir + "/lib.git", context: true, has: "inner"},
		{source: "file://" + dir + "/r.git?submodules=0", context: true, text: "FROM two", commit: 2},
	} {
		t.Run(c.source+c.checksum, func(t *testing.T) {
			private := filepath.Join(t.TempDir(), "x")
			o := Options{Dir: private}
			tree, err := fetchGit(t.Context(), c.source, gitOptions{context: c.context, checksum: c.checksum, keepGitDir: c.keep}, &o)
			if err == nil {
				if err = tree.ready(t.Context()); err != nil {
					err = errors.Join(err, tree.Close())
				}
			}
			if c.fails != "" {
				if err == nil || !strings.Contains(strings.ToLower(err.Error()), c.fails) {
					t.Errorf("error %v, want one with %q", err, c.fails)
				}
				empty(t, private)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			at := fmt.Sprintf("/proc/self/fd/%d/", tree.root.Dir.Fd())
			if text, err := os.ReadFile(at + "Dockerfile"); c.text != "" && (err != nil || string(text) != c.text || tree.Commit != commits[c.commit]) {
				t.Errorf("%q, %v, commit %s", text, err, tree.Commit)
			}
			for name := range strings.FieldsSeq(c.has) {
				if _, err := os.Lstat(at + name); err != nil {
					t.Error(err)
				}
			}
			for name := range strings.FieldsSeq(c.not) {
				if _, err := os.Lstat(at + name); err == nil {
					t.Errorf("%s is there", name)
				}
			}
			if st, err := os.Stat(at + "tool"); err == nil && st.Mode() != 0o755 {
				t.Errorf("mode %v", st.Mode())
			}
			if d := tree.Item(false).Digest; !strings.Contains(d, tree.Commit) || strings.Contains(d, "true true") != (c.keep != nil) {
				t.Errorf("digest %q", d)
			}
			if err := tree.Close(); err != nil {
				t.Error(err)
			}
			empty(t, private)
		})
	}
}

// A repository that has not changed is not got again, and one that changes between is
// an error.
func TestGitIsLate(t *testing.T) {
	top, smart, _, commits := repositories(t)
	o := Options{Dir: t.TempDir()}
	for source, want := range map[string]string{smart + "/r.git#other": commits[1], smart + "/r.git#v1": commits[0], "https://h.invalid/r.git#" + commits[0]: commits[0]} {
		tree, err := FetchGit(t.Context(), source, "", nil, o)
		if err != nil {
			t.Fatal(err)
		}
		if tree.Commit != want || tree.got {
			t.Errorf("%s: commit %s, got %v", source, tree.Commit, tree.got)
		}
		if strings.Contains(source, "other") {
			run(t, top+"/r.git", "git", "update-ref", "refs/heads/other", commits[2])
			if err := tree.ready(t.Context()); err == nil || !strings.Contains(err.Error(), "changed since") {
				t.Error(err)
			}
		}
		if err := tree.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A repository as a context, with its .dockerignore.
func TestGitContext(t *testing.T) {
	_, smart, _, _ := repositories(t)
	ctx, err := Open(t.Context(), &api.Build{Context: api.ContextGit, URL: smart + "/r.git#other:sub", Where: "x"}, Files{}, Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if _, text := ctx.Dockerfile(); string(text) != "FROM sub" {
		t.Errorf("%q", text)
	}
	if err := ctx.Close(); err != nil {
		t.Error(err)
	}
}

// Nothing that a repository says is executed: neither hooks nor filters nor another way
// to reach a submodule than by the network.
func TestGitExecutesNothing(t *testing.T) {
	top := t.TempDir()
	mark := top + "/executed"
	work := top + "/work"
	run(t, top, "git", "init", "-q", "-b", "main", work)
	write(t, work+"/.gitattributes", "* filter=evil\n")
	write(t, work+"/.gitmodules", "[submodule \"a\"]\n\tpath = a\n\turl = ext::sh -c touch% "+mark+"\n[submodule \"b\"]\n\tpath = b\n\turl = "+work+"\n\tupdate = !touch "+mark+"\n")
	write(t, work+"/.git-hooks/post-checkout", "#!/bin/sh\ntouch "+mark+"\n")
	run(t, work, "git", "add", ".")
	commit := run(t, work, "git", "commit-tree", "-m", "0", run(t, work, "git", "write-tree"))
	run(t, work, "git", "update-index", "--add", "--cacheinfo", "160000,"+commit+",a")
	run(t, work, "git", "update-index", "--add", "--cacheinfo", "160000,"+commit+",b")
	run(t, work, "git", "commit", "-qm", "1")
	o := Options{Dir: top + "/x"}
	tree, err := fetchGit(t.Context(), "file://"+work, gitOptions{context: true}, &o)
	if err == nil {
		err = errors.Join(tree.ready(t.Context()), tree.Close())
	}
	if err == nil || !strings.Contains(err.Error(), "clone") {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("something was executed")
	}
	empty(t, top+"/x")
	if _, err := FetchGit(t.Context(), "file://"+work, "", nil, o); err == nil {
		t.Error("a Dockerfile can read a repository of the host's")
	}
}

// A server that does not answer holds up nobody who does not want to wait.
func TestGitStops(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	dir := t.TempDir()
	_, err = FetchGit(ctx, "http://"+l.Addr().String()+"/r.git", "", nil, Options{Dir: dir})
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 10*time.Second {
		t.Errorf("%v after %v", err, time.Since(start))
	}
	empty(t, dir)
}

func TestGitIsThere(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		promised.OrSkip(t, "git", err)
	}
	t.Setenv("PATH", "/nowhere")
	if _, err := FetchGit(t.Context(), "https://h/r.git", "", nil, Options{Dir: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "install git") {
		t.Error(err)
	}
}
