package source

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"sbx/api"
)

// The passwords that git knows of the user's are for what the user names: not for what a
// Dockerfile does, nor for the parts of a repository.
func TestGitKeepsPasswords(t *testing.T) {
	var asked, told atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.Header.Get("Authorization") != "" {
			told.Add(1)
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer s.Close()
	host := strings.TrimPrefix(s.URL, "http://")

	top := t.TempDir()
	work := filepath.Join(top, "r.git")
	write(t, work+"/Dockerfile", "FROM one")
	write(t, work+"/.gitmodules", "[submodule \"a\"]\n\tpath = a\n\turl = "+s.URL+"/a.git\n")
	run(t, work, "git", "init", "-q", "-b", "main")
	run(t, work, "git", "add", ".")
	run(t, work, "git", "update-index", "--add", "--cacheinfo", "160000,"+strings.Repeat("1", 40)+",a")
	run(t, work, "git", "commit", "-qm", "1")

	for name, home := range map[string][2]string{
		"netrc":    {".netrc", "default login me password secret\n"},
		"helper":   {".gitconfig", "[credential]\n\thelper = \"!f() { echo username=me; echo password=secret; }; f\"\n"},
		"header":   {".gitconfig", "[http]\n\textraHeader = \"Authorization: Basic bWU6c2VjcmV0\"\n"},
		"instead":  {".gitconfig", "[url \"http://me:secret@" + host + "/\"]\n\tinsteadOf = " + s.URL + "/\n"},
		"xdg file": {".config/git/config", "[http]\n\textraHeader = \"Authorization: Basic bWU6c2VjcmV0\"\n"},
	} {
		t.Run(name, func(t *testing.T) {
			at := t.TempDir()
			t.Setenv("HOME", at)
			t.Setenv("XDG_CONFIG_HOME", filepath.Join(at, ".config"))
			write(t, filepath.Join(at, home[0]), home[1])
			o := Options{Dir: t.TempDir()}
			fetch := func(what string, secret bool, f func() error) {
				asked.Store(0)
				told.Store(0)
				if err := f(); err == nil {
					t.Errorf("%s: no error", what)
				}
				if asked.Load() == 0 || (told.Load() > 0) != secret {
					t.Errorf("%s: %d requests, %d with a password", what, asked.Load(), told.Load())
				}
			}
			fetch("ADD", false, func() error {
				_, err := FetchGit(t.Context(), s.URL+"/r.git", "", nil, o)
				return err
			})
			fetch("part of a context", false, func() error {
				_, err := Open(t.Context(), &api.Build{Context: api.ContextGit, URL: "file://" + work, Where: "x"}, Files{}, o)
				return err
			})
			fetch("context", true, func() error {
				_, err := Open(t.Context(), &api.Build{Context: api.ContextGit, URL: s.URL + "/r.git", Where: "x"}, Files{}, o)
				return err
			})
		})
	}
}
