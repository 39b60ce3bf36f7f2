package transfer

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	"go.podman.io/image/v5/docker"
	"go.podman.io/image/v5/types"

	"sbx/api"
	"sbx/image"
)

// PullOptions are what the user said about a pull.
type PullOptions struct {
	Platform string // os/arch[/variant]; empty: the host's
	Policy   string // api.PullAlways and so on; empty: api.PullAlways
	AllTags  bool
}

// Pulled is an image that is in the store now.
type Pulled struct {
	Image  image.Image
	Name   string        // normalised
	Digest digest.Digest // of the manifest, or list of them, that the name stood for; empty if nobody was asked
	Fresh  bool          // something was fetched
	All    []Pulled      // with AllTags: one for each tag; the fields above are the last one's
}

// Pull brings an image into the store. Errors are *api.Error of one line with name.
func Pull(ctx context.Context, o Options, name string, p PullOptions) (Pulled, error) {
	at, err := parsePlace(name)
	if err != nil {
		return Pulled{}, explain("pull", name, "", err)
	}
	s, err := newSession(o)
	if err != nil {
		return Pulled{}, explain("pull", name, "", err)
	}
	job := pulling{session: s, name: name, want: hostPlatform(), policy: p.Policy}
	if p.Platform != "" {
		job.explicit = true
		if job.want, err = parsePlatform(p.Platform); err != nil {
			return Pulled{}, explain("pull", name, "", err)
		}
	}
	switch {
	case at.transport != registryTransport:
		return job.fromFile(ctx, at)
	case p.AllTags:
		return job.allTags(ctx, at)
	}
	return job.fromRegistry(ctx, at)
}

// pulling is one Pull.
type pulling struct {
	*session
	name     string // as typed
	want     platform
	explicit bool // the user named the platform
	policy   string
}

func (j pulling) fromRegistry(ctx context.Context, at place) (Pulled, error) {
	list, err := at.candidates(&j.sys)
	if err != nil {
		return Pulled{}, explain("pull", j.name, "", err)
	}
	there, found := j.local(at, list)
	switch {
	case found && (j.policy == api.PullMissing || j.policy == api.PullNever):
		return there, nil
	case j.policy == api.PullNever:
		return Pulled{}, api.Errorf("pull", printable(j.name), "it is not here, and --pull=never was given").
			WithHint("pull it: sbx pull %s", printable(j.name))
	}
	got, err := j.firstOf(ctx, list)
	if err != nil && j.policy == api.PullNewer && found && ctx.Err() == nil {
		j.tell(fmt.Sprintf("%v; going on with the image that is here", err))
		return there, nil
	}
	return got, err
}

// firstOf pulls the first name that there is an image for. A registry that answers
// that it has none, or none for this user, is passed over; one that cannot be asked
// is not, for the next one's image could be somebody else's.
func (j pulling) firstOf(ctx context.Context, list []reference.Named) (Pulled, error) {
	var worst error
	for _, ref := range list {
		got, err := j.join(ctx, ref)
		if err == nil {
			return got, nil
		}
		status := httpStatus(err)
		if worst == nil || status != http.StatusNotFound {
			worst = explain("pull", ref.String(), reference.Domain(ref), err)
		}
		if status != http.StatusNotFound && status != http.StatusUnauthorized && status != http.StatusForbidden {
			break
		}
	}
	return Pulled{}, worst
}

// tell says something to this caller alone.
func (j pulling) tell(line string) {
	if j.Report != nil {
		j.Report(api.Progress{Line: line})
	}
}

// local finds what the store has under one of the names, for the platform if one
// was asked for.
func (j pulling) local(at place, list []reference.Named) (Pulled, bool) {
	names := []string{}
	if at.short {
		names = append(names, j.name) // localhost/NAME, too
	}
	for _, ref := range list {
		names = append(names, ref.String())
	}
	for _, name := range names {
		img, err := j.Store.Resolve(name)
		if err == nil && (!j.explicit || j.madeFor(img)) {
			if own, err := ownName(img, name); err == nil {
				name = own
			}
			return Pulled{Image: img, Name: name}, true
		}
	}
	return Pulled{}, false
}

// madeFor says that img is for the platform that is wanted.
func (j pulling) madeFor(img image.Image) bool {
	return platform{img.OS, img.Architecture, img.Variant}.rank(j.want) >= 0
}

// join pulls ref, together with others who do so now in the same way.
func (j pulling) join(ctx context.Context, ref reference.Named) (Pulled, error) {
	reach, err := json.Marshal(j.Reach)
	if err != nil {
		return Pulled{}, err
	}
	// Hashed, for it has passwords, and the key could end up in a core dump's strings
	// more often than the original.
	key := fmt.Sprintf("%s %s %v %x", ref, j.want, j.explicit, sha256.Sum256(reach))
	return deskOf(j.Store).join(ctx, key, j.session, func(ctx context.Context) (Pulled, error) { return j.fetch(ctx, ref) })
}

// fetch asks the registry for ref.
func (j pulling) fetch(ctx context.Context, ref reference.Named) (got Pulled, err error) {
	j.board.line("Trying " + ref.String())
	src, err := j.open(ctx, ref)
	if err != nil {
		return Pulled{}, err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	from := origin{repo: ref.Name(), names: []string{ref.String()}}
	if pinned, ok := ref.(reference.Digested); ok {
		from.pinned = pinned.Digest()
	}
	return j.receive(ctx, src, from)
}

// open asks a registry for what ref stands for.
func (s *session) open(ctx context.Context, ref reference.Named) (src types.ImageSource, err error) {
	sys, err := s.context(ctx, ref)
	if err != nil {
		return nil, err
	}
	at, err := docker.NewReference(ref)
	if err != nil {
		return nil, err
	}
	err = s.limits.retry(ctx, func() { s.board.line("Trying again") }, func() error {
		wctx, _, stop := watched(ctx, s.limits)
		defer stop()
		src, err = at.NewImageSource(wctx, sys)
		return cause(wctx, err)
	})
	return src, err
}

// allTags pulls every tag that the repository has.
func (j pulling) allTags(ctx context.Context, at place) (Pulled, error) {
	repo := reference.TrimNamed(at.named)
	host := reference.Domain(repo)
	if name, _, tagged := cutTag(j.name); tagged || isDigested(at.named) {
		return Pulled{}, api.Errorf("pull", printable(j.name), "all tags, and one tag, cannot both be wanted").
			WithHint("leave the tag away: sbx pull -a %s", printable(name))
	}
	tags, err := j.tags(ctx, repo)
	if err != nil {
		return Pulled{}, explain("pull", j.name, host, err)
	}
	var all []Pulled
	for _, tag := range tags {
		ref, err := reference.WithTag(repo, tag)
		if err != nil {
			return Pulled{}, explain("pull", j.name, host, err)
		}
		got, err := j.join(ctx, ref)
		if err != nil {
			return Pulled{}, explain("pull", ref.String(), host, err)
		}
		all = append(all, got)
	}
	if len(all) == 0 {
		return Pulled{}, api.Errorf("pull", printable(j.name), "the repository has no tags").WithHint("check the name")
	}
	got := all[len(all)-1]
	got.All = all
	return got, nil
}

func isDigested(ref reference.Named) bool {
	_, ok := ref.(reference.Digested)
	return ok
}

func (s *session) tags(ctx context.Context, repo reference.Named) (tags []string, err error) {
	sys, err := s.context(ctx, repo)
	if err != nil {
		return nil, err
	}
	at, err := docker.NewReference(reference.TagNameOnly(repo))
	if err != nil {
		return nil, err
	}
	err = s.limits.retry(ctx, func() {}, func() error {
		wctx, _, stop := watched(ctx, s.limits)
		defer stop()
		tags, err = docker.GetRepositoryTags(wctx, sys, at)
		return cause(wctx, err)
	})
	return tags, err
}
