package transfer

import (
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	"go.podman.io/image/v5/docker"
	"go.podman.io/image/v5/pkg/blobinfocache/memory"
	"go.podman.io/image/v5/pkg/blobinfocache/none"
	"go.podman.io/image/v5/types"
)

// candidates is what makes the library mount a blob from another repository of the
// same registry: a cache of its own that knows where the blob has been seen. It is
// nil if that is nowhere else.
func candidates(d digest.Digest, repos []string, to reference.Named) types.BlobInfoCache {
	scope := types.BICTransportScope{Opaque: reference.Domain(to)}
	cache, ok := like(none.NoCache, memory.New())
	if !ok {
		return nil
	}
	places := 0
	for _, name := range repos {
		if strings.HasPrefix(name, scope.Opaque+"/") && name != to.Name() {
			cache.RecordKnownLocation(docker.Transport, scope, d, types.BICLocationReference{Opaque: name})
			places++
		}
	}
	if places == 0 {
		return nil
	}
	// It passes over blobs of which it does not know how they are packed. What it is
	// told is of no matter, since we know better and do not ask it.
	packed := argument(cache.RecordDigestCompressorData)
	packed.BaseVariantCompressor, packed.SpecificVariantCompressor = "uncompressed", "unknown"
	cache.RecordDigestCompressorData(d, packed)
	return cache
}

// like gives v the type of model. The library has caches of a type that is internal
// and so has no name here; but there is a variable of it.
func like[T any](_ T, v any) (T, bool) {
	t, ok := v.(T)
	return t, ok
}

// argument is a zero value of what f wants, whose type has no name here either.
func argument[T any](func(digest.Digest, T)) T {
	var zero T
	return zero
}
