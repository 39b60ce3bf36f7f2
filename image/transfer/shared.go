package transfer

import (
	"io"
	"sync"

	"github.com/opencontainers/go-digest"
	imgspecv1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxSharedImages bounds how many manifests of a shared layout are read.
const maxSharedImages = 1000

// sharedBlobs are OCI layouts on this machine that blobs are looked for in before a
// registry is asked. Anybody may have written them, so what is found is verified
// like what a registry sends.
//
// A layer is found by the digest that the registry knows it by. If whoever made the
// layout compressed the layer in another way, or not at all, it is found by what it
// unpacks to: the layouts' own manifests and configurations say that, and whether
// it is true is seen when it has been unpacked.
type sharedBlobs struct {
	dirs []string
	once sync.Once
	byID map[digest.Digest]sharedLayer

	mu  sync.Mutex
	bad map[digest.Digest]bool // diffIDs of layers that were not what they should be
}

// sharedReader is a layer of a shared directory that is being read.
type sharedReader struct {
	io.ReadCloser
	dir   string
	spoil func() // says that it was not what it should be: it is not looked for again
}

type sharedLayer struct {
	dir  string
	desc imgspecv1.Descriptor
}

// layer opens a layer. The descriptor is that of the data, to verify it by.
func (s *sharedBlobs) layer(want imgspecv1.Descriptor, diffID digest.Digest) (io.ReadCloser, imgspecv1.Descriptor, bool) {
	s.mu.Lock()
	bad := s.bad[diffID]
	s.mu.Unlock()
	if len(s.dirs) == 0 || bad {
		return nil, want, false
	}
	for _, dir := range s.dirs {
		if r, ok := openShared(dir, want); ok {
			return s.reader(r, dir, diffID), want, true
		}
	}
	s.once.Do(s.read)
	l, known := s.byID[diffID]
	if !known {
		return nil, want, false
	}
	r, ok := openShared(l.dir, l.desc)
	if !ok {
		return nil, want, false
	}
	return s.reader(r, l.dir, diffID), l.desc, true
}

func (s *sharedBlobs) reader(r io.ReadCloser, dir string, diffID digest.Digest) *sharedReader {
	return &sharedReader{r, dir, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.bad == nil {
			s.bad = map[digest.Digest]bool{}
		}
		s.bad[diffID] = true
	}}
}

// small reads a configuration whole; nil if it is not there, or not what it should
// be.
func (s *sharedBlobs) small(want imgspecv1.Descriptor, limit int64) []byte {
	for _, dir := range s.dirs {
		if r, ok := openShared(dir, want); ok {
			data, err := readBlob(r, want, limit)
			r.Close()
			if err == nil {
				return data
			}
		}
	}
	return nil
}

// openShared opens a blob that has the right size. A directory that is not there,
// or cannot be read, has none.
func openShared(dir string, d imgspecv1.Descriptor) (io.ReadCloser, bool) {
	in, err := openDir(dir)
	if err != nil {
		return nil, false
	}
	defer in.Close()
	r, size, err := in.open(blobPath(d.Digest))
	if err != nil {
		return nil, false
	}
	if size != d.Size {
		r.Close()
		return nil, false
	}
	return r, true
}

func (s *sharedBlobs) read() {
	s.byID = map[digest.Digest]sharedLayer{}
	for _, dir := range s.dirs {
		in, err := openDir(dir)
		if err != nil {
			continue
		}
		if l, err := openLayout(in); err == nil {
			s.add(dir, l, l.entries, true)
		}
		in.Close()
	}
}

// add notes the layers of images. What cannot be read is not of use, that is all.
func (s *sharedBlobs) add(dir string, l *layout, images []imgspecv1.Descriptor, lists bool) {
	for _, d := range images[:min(len(images), maxSharedImages)] {
		data, err := l.blob(d, maxManifest)
		if err != nil {
			continue
		}
		m, err := parseManifest(data, d.MediaType)
		switch {
		case err != nil:
			continue
		case m.list():
			if lists {
				s.add(dir, l, m.Manifests, false)
			}
			continue
		}
		data, err = l.blob(*m.Config, maxConfig)
		if err != nil {
			continue
		}
		conf, err := parseConfiguration(data, len(m.Layers))
		if err != nil {
			continue
		}
		for i, id := range conf.RootFS.DiffIDs {
			s.byID[id] = sharedLayer{dir, m.Layers[i]}
		}
	}
}
