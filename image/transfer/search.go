package transfer

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"go.podman.io/image/v5/docker"
	"go.podman.io/image/v5/pkg/sysregistriesv2"

	"sbx/api"
)

// Found is a repository that a registry knows.
type Found struct {
	Index       string // the registry
	Name        string // HOST/PATH
	Description string
	Stars       int
	Official    bool
	Automated   bool
}

// searchLimit is how many are asked for if the user says nothing.
const searchLimit = 25

// Search asks a registry, Docker Hub or those that registries.conf names, for
// repositories with the term in their names. What it returns is printable.
func Search(ctx context.Context, o Options, p api.Search) ([]Found, error) {
	s, err := newSession(o)
	if err != nil {
		return nil, explain("search", p.Term, "", err)
	}
	keep, err := searchFilter(p.Filters)
	if err != nil {
		return nil, err
	}
	hosts, term := []string{hub}, p.Term
	if first, rest, ok := strings.Cut(p.Term, "/"); ok && !isShort(p.Term) {
		hosts, term = []string{first}, rest
	} else if search, err := sysregistriesv2.UnqualifiedSearchRegistries(&s.sys); err == nil && len(search) > 0 {
		hosts = search
	}
	limit := p.Limit
	if limit <= 0 {
		limit = searchLimit
	}
	var all []Found
	for _, host := range hosts {
		found, err := s.search(ctx, host, term, limit)
		if err != nil {
			return nil, explain("search", p.Term, host, err)
		}
		for _, f := range found {
			if keep(f) {
				all = append(all, f)
			}
		}
	}
	return all, nil
}

func (s *session) search(ctx context.Context, host, term string, limit int) (list []Found, err error) {
	sys := s.sys
	auth, err := s.keys.find(ctx, host)
	if err != nil {
		return nil, err
	}
	sys.DockerAuthConfig = &auth
	var results []docker.SearchResult
	err = s.limits.retry(ctx, func() {}, func() error {
		wctx, _, stop := watched(ctx, s.limits)
		defer stop()
		results, err = docker.SearchRegistry(wctx, &sys, host, term, limit)
		return cause(wctx, err)
	})
	for _, r := range results {
		name := r.Name
		if host == hub && !strings.Contains(name, "/") {
			name = "library/" + name
		}
		list = append(list, Found{
			Index: host, Name: clean(host + "/" + name), Description: clean(r.Description),
			Stars: r.StarCount, Official: r.IsOfficial, Automated: r.IsAutomated,
		})
	}
	return list, err
}

// searchFilter reads docker's filters: stars=N, is-official=BOOL, is-automated=BOOL.
func searchFilter(filters []string) (func(Found) bool, error) {
	var checks []func(Found) bool
	for _, f := range filters {
		key, value, _ := strings.Cut(f, "=")
		yes, err := strconv.ParseBool(value)
		if value == "" {
			yes, err = true, nil
		}
		switch key {
		case "is-official":
			checks = append(checks, func(f Found) bool { return f.Official == yes })
		case "is-automated":
			checks = append(checks, func(f Found) bool { return f.Automated == yes })
		case "stars":
			var least int
			least, err = strconv.Atoi(value)
			checks = append(checks, func(f Found) bool { return f.Stars >= least })
		default:
			err = errors.New("unknown")
		}
		if err != nil {
			return nil, api.Errorf("search", "", "this is no filter: %s", printable(f)).
				WithHint("give stars=N, is-official=true or is-automated=false")
		}
	}
	return func(f Found) bool {
		for _, check := range checks {
			if !check(f) {
				return false
			}
		}
		return true
	}, nil
}
