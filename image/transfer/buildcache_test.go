package transfer

import (
	"strings"
	"testing"

	imgspecv1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// What a hostile cache says is refused or has the form that is relied upon: keys that
// are no paths, a digest for each layer.
func FuzzBuildCache(f *testing.F) {
	const d = someDigest
	key := strings.Repeat("0a", 32)
	manifest := `{"schemaVersion":2,"mediaType":"` + imgspecv1.MediaTypeImageManifest + `","config":{"mediaType":"` + cacheMedia + `","digest":"` + d + `","size":2},` +
		`"layers":[{"mediaType":"` + imgspecv1.MediaTypeImageLayerGzip + `","digest":"` + d + `","size":1}]}`
	index := `{"layers":["` + d + `"],"steps":[{"key":"` + key + `","copy":"` + key + `","layer":"` + d + `","parent":"` + key + `","created":"2026-01-02T03:04:05Z"}]}`
	image := strings.Replace(manifest, cacheMedia, imgspecv1.MediaTypeImageConfig, 1)
	inline := `{"rootfs":{"diff_ids":["` + d + `"]},"sbx.buildcache.v1":` + index + `}`
	f.Add([]byte(manifest), []byte(index))
	f.Add([]byte(image), []byte(inline))
	f.Add([]byte(image), []byte(`{"rootfs":{"diff_ids":["`+d+`"]}}`))
	f.Add([]byte(manifest), []byte(`{"layers":["x"],"steps":null}`))
	f.Fuzz(func(t *testing.T, manifest, index []byte) {
		m, err := parseCacheManifest(manifest, "")
		if err != nil || m.list() {
			return
		}
		x, err := parseCacheIndex(index, m)
		if err != nil || x == nil {
			return
		}
		if len(x.Layers) != len(m.Layers) {
			t.Fatalf("%d layers, %d in the manifest", len(x.Layers), len(m.Layers))
		}
		for _, s := range x.Steps {
			for _, key := range []string{s.Key, s.Copy, s.Parent} {
				if strings.Trim(key, "0123456789abcdef") != "" || len(key) != 64 && (key != "" || s.Key == "") {
					t.Errorf("key %q", key)
				}
			}
			if s.Layer != "" && s.Layer.Validate() != nil {
				t.Errorf("layer %q", s.Layer)
			}
		}
	})
}

// An index is refused for what is wrong with it.
func TestBuildCacheParsed(t *testing.T) {
	const d = someDigest
	m, err := parseCacheManifest([]byte(`{"schemaVersion":2,"mediaType":"`+imgspecv1.MediaTypeImageManifest+`","config":{"mediaType":"`+cacheMedia+`","digest":"`+d+`","size":2},"layers":[]}`), "")
	if err != nil {
		t.Fatal(err)
	}
	for text, word := range map[string]string{
		`{"steps":[]}`: "", `[]`: "right form", `{"steps":[{"key":"../x"}]}`: "no key", `{"steps":[{}]}`: "has no key",
		`{"layers":["` + d + `"]}`: "0 layers, its index 1", `{"steps":[{"key":"` + strings.Repeat("a", 64) + `","layer":"sha256:x"}]}`: "not a digest",
	} {
		x, err := parseCacheIndex([]byte(text), m)
		if word == "" && (err != nil || x == nil) || word != "" && (err == nil || !strings.Contains(err.Error(), word)) {
			t.Errorf("%s: %v, %v", text, x, err)
		}
	}
}
