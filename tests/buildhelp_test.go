package tests

import (
	"os"
	"path/filepath"
	"strings"
)

// contextOf writes a build context and gives its directory: pairs of a name and its
// content, or "-> target" for a symbolic link.
func (e *Env) contextOf(name string, files ...string) string {
	e.t.Helper()
	dir := filepath.Join(e.Home, name)
	for i := 0; i+1 < len(files); i += 2 {
		path := filepath.Join(dir, files[i])
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			e.t.Fatal(err)
		}
		var err error
		if target, ok := strings.CutPrefix(files[i+1], "-> "); ok {
			err = os.Symlink(target, path)
		} else {
			err = os.WriteFile(path, []byte(files[i+1]), 0o644)
		}
		if err != nil {
			e.t.Fatal(err)
		}
	}
	return dir
}

// build builds a directory with plain progress, whatever comes of it.
func (e *Env) build(dir string, flags ...string) Result {
	e.t.Helper()
	return e.Run(append(append([]string{"build", "--progress", "plain"}, flags...), dir)...)
}

// dockerfile is build of a Dockerfile without a context.
func (e *Env) dockerfile(text string, flags ...string) Result {
	e.t.Helper()
	return e.RunIn(text, append(append([]string{"build", "--progress", "plain"}, flags...), "-")...)
}

// built is dockerfile that must succeed.
func (e *Env) built(text string, flags ...string) Result {
	e.t.Helper()
	r := e.dockerfile(text, flags...)
	if r.Code != 0 {
		e.t.Fatalf("build of %q: status %d\n%s%s", text, r.Code, r.Out, r.Err)
	}
	return r
}

// secretFile is a file of the host that no build is given.
func (e *Env) secretFile() (path, content string) {
	e.t.Helper()
	content = "host-secret-5c2e"
	dir := filepath.Join(e.Home, "private")
	path = filepath.Join(dir, "key")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		e.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content+"\n"), 0o644); err != nil {
		e.t.Fatal(err)
	}
	return path, content
}
