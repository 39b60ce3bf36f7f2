package transfer

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/distribution/reference"
	"go.podman.io/image/v5/pkg/sysregistriesv2"
	"go.podman.io/image/v5/types"

	"sbx/api"
	"sbx/image"
	"sbx/internal/dirs"
)

// Options say for whom something is moved.
type Options struct {
	Store  *image.Store
	Dirs   dirs.Dirs
	Reach  api.Reach
	Report func(api.Progress) // how far it is; may be nil; called by one goroutine at a time
	Log    *slog.Logger       // may be nil

	tune func(*limits) // tests cannot wait as long as users
}

// session is one command's way to the outside.
type session struct {
	Options
	sys    types.SystemContext // without credentials: see context
	keys   keyring
	policy policy
	shared *sharedBlobs
	board  *board
	limits limits
}

// limits are how long a silent peer is waited for, and how often something is
// tried again.
type limits struct {
	connect time.Duration // name look-up, connection, TLS
	answer  time.Duration // from the end of a request to the first byte of its answer
	idle    time.Duration // between two pieces of a body
	pauses  []time.Duration
}

func defaultLimits() limits {
	return limits{
		connect: 20 * time.Second,
		answer:  60 * time.Second,
		idle:    60 * time.Second,
		pauses:  []time.Duration{time.Second, 3 * time.Second, 8 * time.Second},
	}
}

// newSession reads the configuration anew: the supervisor lives long, and its user
// edits files.
func newSession(o Options) (*session, error) {
	s := &session{Options: o, board: newBoard(), limits: defaultLimits()}
	if o.tune != nil {
		o.tune(&s.limits)
	}
	var err error
	if s.sys, err = systemContext(o.Dirs, o.Reach); err != nil {
		return nil, err
	}
	if s.keys, err = newKeyring(o.Reach, &s.sys); err != nil {
		return nil, err
	}
	s.policy = findPolicy(o.Reach)
	s.shared = &sharedBlobs{dirs: o.Reach.Shared}
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	return s, nil
}

// context is the library's configuration for requests about ref, with the
// credentials for it. Credentials are always given, be they empty, so that the
// library does not look for them itself: it would take the supervisor's
// environment, and uid 0, for the user's.
func (s *session) context(ctx context.Context, ref reference.Named) (*types.SystemContext, error) {
	sys := s.sys
	auth, err := s.keys.find(ctx, ref.Name())
	if err != nil {
		return nil, err
	}
	sys.DockerAuthConfig = &auth
	if s.keys.given == nil {
		if reg, err := sysregistriesv2.FindRegistry(&sys, ref.Name()); err == nil && reg != nil {
			sys.AuthFilePath = s.keys.fileFor(reg, sys.AuthFilePath)
		}
	}
	return &sys, nil
}

// fileFor is the file with a login for one of the places that registries.conf
// names instead of a registry; the library looks there by itself.
func (k keyring) fileFor(reg *sysregistriesv2.Registry, none string) string {
	for _, place := range append([]sysregistriesv2.Endpoint{reg.Endpoint}, reg.Mirrors...) {
		host, _, _ := strings.Cut(place.Location, "/")
		for _, file := range k.files {
			f, err := readAuthFile(file)
			if _, ok := f.lookup(place.Location, host); err == nil && host != "" && ok {
				return file
			}
		}
	}
	return none
}
