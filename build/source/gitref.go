package source

import (
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sbx/api"
)

// gitRef is a repository, and what of it is meant, as BuildKit understands it:
// URL#REF:DIR, or URL?ref=REF&subdir=DIR.
type gitRef struct {
	remote     string // what git is given
	scheme     string
	ref        string // a branch, a tag or a commit; empty: the default branch
	dir        string
	checksum   string // what the commit must begin with
	keepGitDir *bool
	submodules bool
}

// scpStyle is USER@HOST:PATH, which means ssh.
var scpStyle = regexp.MustCompile(`^[a-zA-Z0-9_-]+@[a-zA-Z0-9.-]+:([^?#]*)(?:\?([^#]*))?(?:#(.*))?$`)

// IsGit says whether a source is a git repository. Of a context more is understood than
// of a source of ADD, which could be a path: github.com/USER/REPOSITORY, and file:// for
// the user's own.
func IsGit(source string, context bool) bool {
	if scpStyle.MatchString(source) {
		return true
	}
	if context && strings.HasPrefix(source, "github.com/") {
		return true
	}
	u, err := url.Parse(source)
	if err != nil {
		return false
	}
	switch u.Scheme {
	case "git", "ssh":
		return u.Host != ""
	case "http", "https":
		return strings.HasSuffix(u.Path, ".git")
	case "file":
		return context
	}
	return false
}

// parseGit takes apart what IsGit has said yes to.
func parseGit(source string, context bool) (*gitRef, error) {
	r := &gitRef{submodules: true}
	var query, fragment string
	if m := scpStyle.FindStringSubmatch(source); m != nil {
		r.scheme, query, fragment = "ssh", m[2], m[3]
		r.remote, _, _ = strings.Cut(source, "#")
		r.remote, _, _ = strings.Cut(r.remote, "?")
	} else {
		if context && strings.HasPrefix(source, "github.com/") {
			source = "https://" + source
		}
		u, err := url.Parse(source)
		if err != nil {
			return nil, api.Errorf("clone", source, "not a URL")
		}
		r.scheme, query, fragment = u.Scheme, u.RawQuery, u.Fragment
		u.RawQuery, u.Fragment, u.RawFragment = "", "", ""
		r.remote = u.String()
	}
	ref, dir, _ := strings.Cut(fragment, ":")
	r.ref, r.dir = ref, dir
	if err := r.query(query); err != nil {
		return nil, api.Errorf("clone", r.shown(), "%s", err)
	}
	if strings.HasPrefix(r.ref, "-") || strings.ContainsAny(r.ref, " ~^:?*[\\\x00\n") || strings.HasPrefix(r.remote, "-") {
		return nil, api.Errorf("clone", r.shown(), "%q is no branch, tag or commit", r.ref)
	}
	r.dir = strings.TrimPrefix(path.Clean("/"+r.dir), "/")
	return r, nil
}

// shown is the repository without a password.
func (r *gitRef) shown() string {
	if u, err := url.Parse(r.remote); err == nil && u.User != nil {
		return u.Redacted()
	}
	return r.remote
}

func (r *gitRef) query(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return err
	}
	keys := make([]string, 0, len(values))
	for k := range values {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		if len(values[k]) > 1 {
			return api.Errorf("query", k, "it is there several times")
		}
		if err := r.option(k, values[k][0]); err != nil {
			return err
		}
	}
	return nil
}

func (r *gitRef) option(key, value string) (err error) {
	flag := func() (bool, error) {
		if value == "" {
			return true, nil
		}
		return strconv.ParseBool(value)
	}
	set := func(to *string, value string) error {
		if *to != "" && *to != value {
			return api.Errorf("query", key, "conflicts: %q and %q", *to, value)
		}
		*to = value
		return nil
	}
	if value == "" && !slices.Contains([]string{"submodules", "keep-git-dir"}, key) {
		return api.Errorf("query", key, "it has no value")
	}
	switch key {
	case "ref":
		return set(&r.ref, value)
	case "tag":
		return set(&r.ref, "refs/tags/"+strings.TrimPrefix(value, "refs/tags/"))
	case "branch":
		return set(&r.ref, "refs/heads/"+strings.TrimPrefix(value, "refs/heads/"))
	case "subdir":
		return set(&r.dir, value)
	case "checksum", "commit":
		return set(&r.checksum, value)
	case "submodules":
		r.submodules, err = flag()
		return err
	case "keep-git-dir":
		keep, err := flag()
		r.keepGitDir = &keep
		return err
	}
	return api.Errorf("query", key, "unknown: there are ref, tag, branch, subdir, checksum, keep-git-dir and submodules")
}
