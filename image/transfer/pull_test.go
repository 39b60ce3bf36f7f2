package transfer

import (
	"context"
	"strings"
	"sync"
	"testing"

	"sbx/api"
)

func TestPull(t *testing.T) {
	s, o := newServer(t), newOptions(t)
	p := s.make("lib/app", "1", threeLayers(), nil)
	var mu sync.Mutex
	last := map[string]api.Step{}
	tries := 0
	o.Report = func(p api.Progress) {
		mu.Lock()
		defer mu.Unlock()
		if strings.HasPrefix(p.Line, "Trying ") {
			tries++
		}
		for _, step := range p.Steps {
			last[step.ID] = step
		}
	}
	name := s.host() + "/lib/app:1"
	got := mustPull(t, o, name, PullOptions{})
	if got.Image.ID != p.id || got.Name != name || got.Digest != p.desc.Digest || !got.Fresh {
		t.Errorf("pulled %+v", got)
	}
	if tries != 1 {
		t.Errorf("told %d times", tries)
	}
	r, err := o.Store.Record(p.id)
	if err != nil {
		t.Fatal(err)
	}
	if r.Digest != p.desc.Digest || string(r.Config) != string(p.config) || r.MediaType != p.desc.MediaType {
		t.Errorf("recorded %s, %s, %s", r.Digest, r.MediaType, r.Config)
	}
	for _, l := range p.manifest.Layers {
		want := api.Step{ID: l.Digest.Encoded()[:12], State: api.StepComplete, Done: l.Size, Size: l.Size}
		if last[want.ID] != want {
			t.Errorf("last report %+v, want %+v", last[want.ID], want)
		}
	}
	blobs := o.Store.Blobs(got.Image.DiffIDs[0])
	if len(blobs) != 1 || blobs[0].Digest != p.manifest.Layers[0].Digest || blobs[0].Repos[0] != s.host()+"/lib/app" {
		t.Errorf("known blobs %+v", blobs)
	}

	s.forget()
	again := mustPull(t, o, name, PullOptions{})
	if again.Fresh || again.Image.ID != p.id {
		t.Errorf("pulled again: %+v", again)
	}
	if n := s.asked("GET /v2/lib/app/blobs"); n != 0 {
		t.Errorf("nothing to do, but %d blobs were fetched", n)
	}
	s.forget()
	if got := mustPull(t, o, name, PullOptions{Policy: api.PullMissing}); got.Image.ID != p.id {
		t.Errorf("missing: %+v", got)
	}
	if n := s.asked(""); n != 0 {
		t.Errorf("the image is here, but %d requests were made", n)
	}
	byDigest := mustPull(t, o, s.host()+"/lib/app@"+p.desc.Digest.String(), PullOptions{})
	if byDigest.Image.ID != p.id || byDigest.Fresh {
		t.Errorf("by digest: %+v", byDigest)
	}
	if _, err := Pull(context.Background(), o, s.host()+"/lib/other:1", PullOptions{Policy: api.PullNever}); err == nil {
		t.Error("never: no error for an image that is not here")
	}
}
