package transfer

import (
	"path/filepath"
	"strings"

	"github.com/distribution/reference"
	"go.podman.io/image/v5/pkg/sysregistriesv2"
	"go.podman.io/image/v5/types"

	"sbx/api"
)

// Transports, as prefixes of names. See containers-transports(5).
const (
	registryTransport      = "docker"
	layoutTransport        = "oci"
	ociArchiveTransport    = "oci-archive"
	dockerArchiveTransport = "docker-archive"
	dirTransport           = "dir"
)

// place is where an image is, outside the store.
type place struct {
	transport string
	named     reference.Named // in a registry; with a tag or a digest
	short     bool            // the registry was not given
	path      string          // absolute; not in a registry
	image     string          // which one of those at path: a name, @INDEX, or empty
}

// parsePlace understands a name as Docker does, and the transports of podman.
func parsePlace(name string) (place, error) {
	for _, t := range []string{layoutTransport, ociArchiveTransport, dockerArchiveTransport, dirTransport} {
		rest, ok := strings.CutPrefix(name, t+":")
		if !ok {
			continue
		}
		p := place{transport: t, path: rest}
		if t != dirTransport {
			p.path, p.image, _ = strings.Cut(rest, ":")
		}
		if !filepath.IsAbs(p.path) {
			return p, api.Errorf("find image", printable(name), "%s: wants an absolute path behind it", t).
				WithHint("give the whole path: %s:/DIR/FILE", t)
		}
		p.path = filepath.Clean(p.path)
		return p, nil
	}
	plain := strings.TrimPrefix(name, "docker://")
	named, err := parseName(plain)
	if err != nil {
		return place{}, err
	}
	return place{transport: registryTransport, named: named, short: plain == name && isShort(plain)}, nil
}

// parseName completes a name as Docker does. A digest beats a tag.
func parseName(name string) (reference.Named, error) {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return nil, api.Errorf("find image", printable(name), "%s", clean(err.Error())).
			WithHint("a name is [HOST/]NAME[:TAG][@DIGEST], with lower-case letters, digits and . _ - / in NAME")
	}
	if d, ok := named.(reference.Digested); ok {
		return reference.WithDigest(reference.TrimNamed(named), d.Digest())
	}
	return reference.TagNameOnly(named), nil
}

// isShort says that name does not begin with a registry.
func isShort(name string) bool {
	first, _, more := strings.Cut(name, "/")
	return !more || !strings.ContainsAny(first, ".:") && first != "localhost" && strings.ToLower(first) == first
}

// candidates are the full names that p may stand for, best first. A short name is
// one of Docker Hub, unless the user's registries.conf names other registries to
// search.
func (p place) candidates(sys *types.SystemContext) ([]reference.Named, error) {
	if !p.short {
		return []reference.Named{p.named}, nil
	}
	search, err := sysregistriesv2.UnqualifiedSearchRegistries(sys)
	if err != nil {
		return nil, err
	}
	if len(search) == 0 {
		return []reference.Named{p.named}, nil
	}
	path := strings.TrimPrefix(reference.Path(p.named), "library/")
	alias, _, err := sysregistriesv2.ResolveShortNameAlias(sys, path)
	if err == nil && alias != nil {
		moved, err := p.moved(alias.Name())
		return []reference.Named{moved}, err
	}
	var list []reference.Named
	for _, host := range search {
		moved, err := p.moved(host + "/" + path)
		if err != nil {
			return nil, err
		}
		list = append(list, moved)
	}
	return list, nil
}

// moved is p's tag or digest in another repository.
func (p place) moved(repository string) (reference.Named, error) {
	repo, err := reference.ParseNormalizedNamed(repository)
	if err != nil {
		return nil, err
	}
	switch r := p.named.(type) {
	case reference.Digested:
		return reference.WithDigest(repo, r.Digest())
	case reference.Tagged:
		return reference.WithTag(repo, r.Tag())
	}
	return reference.TagNameOnly(repo), nil
}

// cutTag cuts a name before its tag. The colon of a port is no tag's.
func cutTag(name string) (repository, tag string, ok bool) {
	i := strings.LastIndexByte(name, ':')
	if i < 0 || strings.Contains(name[i:], "/") {
		return name, "", false
	}
	return name[:i], name[i+1:], true
}
