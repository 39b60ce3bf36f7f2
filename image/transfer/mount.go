package transfer

import (
	"reflect"
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	"go.podman.io/image/v5/docker"
	"go.podman.io/image/v5/pkg/blobinfocache/memory"
	"go.podman.io/image/v5/types"
)

// candidates is what makes the library mount a blob from another repository of the
// same registry: a cache of its own that knows where the blob has been seen. It is
// nil if that is nowhere else.
func candidates(d digest.Digest, repos []string, to reference.Named) types.BlobInfoCache {
	scope := types.BICTransportScope{Opaque: reference.Domain(to)}
	cache := memory.New()
	places := 0
	for _, name := range repos {
		if strings.HasPrefix(name, scope.Opaque+"/") && name != to.Name() {
			cache.RecordKnownLocation(docker.Transport, scope, d, types.BICLocationReference{Opaque: name})
			places++
		}
	}
	if places == 0 || !describe(cache, d) {
		return nil
	}
	return cache
}

// describe tells the cache that it knows how a blob is packed: it passes over those
// of which it does not. What it is told is of no matter, since we know better and
// do not ask it. The method's argument is of an internal type of the library, so
// only reflection can make one; false if a later version has another.
func describe(cache types.BlobInfoCache, d digest.Digest) bool {
	record := reflect.ValueOf(cache).MethodByName("RecordDigestCompressorData")
	if !record.IsValid() || record.Type().NumIn() != 2 || record.Type().In(1).Kind() != reflect.Struct {
		return false
	}
	data := reflect.New(record.Type().In(1)).Elem()
	for name, value := range map[string]string{"BaseVariantCompressor": "uncompressed", "SpecificVariantCompressor": "unknown"} {
		field := data.FieldByName(name)
		if !field.IsValid() || field.Kind() != reflect.String {
			return false
		}
		field.SetString(value)
	}
	record.Call([]reflect.Value{reflect.ValueOf(d), data})
	return true
}
