package transfer

import (
	"strings"
	"testing"

	imgspecv1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// What is accepted can be used: its digests make paths, its sizes are no trap, and
// it is one thing only.
func FuzzParseManifest(f *testing.F) {
	desc := `{"mediaType":"` + imgspecv1.MediaTypeImageConfig + `","digest":"` + someDigest + `","size":1}`
	layer := strings.Replace(desc, imgspecv1.MediaTypeImageConfig, imgspecv1.MediaTypeImageLayerGzip, 1)
	f.Add([]byte(`{"schemaVersion":2,"config":`+desc+`,"layers":[`+layer+`]}`), imgspecv1.MediaTypeImageManifest)
	f.Add([]byte(`{"schemaVersion":2,"mediaType":"`+dockerList+`","manifests":[`+desc+`]}`), "application/json")
	f.Add([]byte(`{"schemaVersion":1,"fsLayers":[]}`), dockerSchema1+"+prettyjws")
	f.Fuzz(func(t *testing.T, data []byte, mediaType string) {
		m, err := parseManifest(data, mediaType)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\x1b\u202e") {
				t.Errorf("error %q", err)
			}
			return
		}
		if m.list() == (m.Config != nil) || m.list() && m.Layers != nil || !m.list() && m.Manifests != nil {
			t.Errorf("both a list and an image: %q", data)
		}
		all := append(m.Manifests, m.Layers...)
		if m.Config != nil {
			all = append(all, *m.Config)
		}
		for _, d := range all {
			if p := blobPath(d.Digest); d.Size < 0 || strings.Contains(p, "..") || strings.Count(p, "/") != 2 {
				t.Errorf("descriptor %+v", d)
			}
		}
	})
}
