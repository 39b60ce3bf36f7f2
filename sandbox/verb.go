package sandbox

import (
	"context"
	"errors"
	"os"
	"sync"

	"sbx/api"
	"sbx/image"
	"sbx/image/transfer"
)

// Verb carries out a request that another package answers, see Options.Verbs. Its
// error becomes the answer; without one, Done has to be called.
type Verb func(*Conversation) error

// Conversation is the request of a Verb, and who has made it.
type Conversation struct {
	*Supervisor
	c   *conversation
	ctx context.Context

	mu      sync.Mutex
	resized func(api.Size)
}

// errGone is why the context of a conversation has ended.
var errGone = errors.New("the command line has gone")

// hand has a Verb answer.
func (c *conversation) hand(verb Verb) error {
	ctx, end := context.WithCancelCause(c.ctx)
	defer end(nil)
	o := &Conversation{Supervisor: c.s, c: c, ctx: ctx}
	go func() {
		defer end(errGone)
		for {
			p, err := c.conn.Recv()
			if err != nil {
				return
			}
			p.CloseFiles()
			if p.Kind == api.KindResize {
				o.resize(p)
			}
		}
	}()
	return verb(o)
}

func (o *Conversation) resize(p *api.Packet) {
	var size api.Size
	if p.Decode(&size) != nil {
		return
	}
	o.mu.Lock()
	resized := o.resized
	o.mu.Unlock()
	if resized != nil {
		resized(size)
	}
}

// OnResize has f called when the terminal of the command line has another size.
func (o *Conversation) OnResize(f func(api.Size)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.resized = f
}

// Context ends when the command line closes its connection, as it does when it is
// interrupted, and when the supervisor ends.
func (o *Conversation) Context() context.Context { return o.ctx }

// Decode unpacks the request.
func (o *Conversation) Decode(request any) error { return o.c.packet.Decode(request) }

// Files came with the request. They are closed when it has been answered.
func (o *Conversation) Files() []*os.File { return o.c.packet.Files }

// Out prints to the standard output of the command line.
func (o *Conversation) Out(text string) error { return o.c.out(text) }

// Err prints to its standard error. The text must be harmless to a terminal.
func (o *Conversation) Err(text string) error {
	return o.c.conn.Send(api.KindErr, &api.Text{Text: text})
}

// Done answers: there is nothing more to print but text, to standard output.
func (o *Conversation) Done(text string) error { return o.End(0, text) }

// End is Done with an exit status for the command line.
func (o *Conversation) End(code int, text string) error {
	return o.c.conn.Send(api.KindDone, &api.Done{Code: code, Text: text})
}

// Save writes an image of the store to a file, in a format of api.Save.
func (o *Conversation) Save(ctx context.Context, f *os.File, name, format string) error {
	store, err := o.images()
	if err != nil {
		return err
	}
	t := transfer.Options{Store: store, Dirs: o.Dirs, Log: o.Log}
	return transfer.Save(ctx, t, f, api.Save{Names: []string{name}, Format: format, Quiet: true})
}

// Images is the image store.
func (s *Supervisor) Images() (*image.Store, error) { return s.images() }

// Fetch brings an image into the store, as the policy (api.PullMissing, ...) says.
// Platform is os/arch[/variant], or empty for the host's.
func (o *Conversation) Fetch(ctx context.Context, name, platform, policy string, reach api.Reach, report func(api.Progress)) (image.Image, error) {
	store, err := o.images()
	if err != nil {
		return image.Image{}, err
	}
	if policy == api.PullMissing || policy == api.PullNever {
		img, err := store.Resolve(name)
		if err == nil && (platform == "" || fits(img, platform)) || policy == api.PullNever || err != nil && !errors.Is(err, image.ErrUnknown) {
			return img, err
		}
	}
	t := transfer.Options{Store: store, Dirs: o.Dirs, Reach: reach, Log: o.Log, Report: report}
	got, err := transfer.Pull(ctx, t, name, transfer.PullOptions{Platform: platform, Policy: policy})
	if err != nil {
		return image.Image{}, err
	}
	o.notePulled(&got)
	return got.Image, nil
}

// fits says that an image is for a platform.
func fits(img image.Image, platform string) bool {
	own := img.OS + "/" + img.Architecture
	return platform == own || img.Variant != "" && platform == own+"/"+img.Variant
}

// NoteImage records in the journal what happens to an image.
func (s *Supervisor) NoteImage(action, id, name string) { s.noteImage(action, id, name) }

// UseImage keeps an image from being removed until the function that comes back is
// called.
func (s *Supervisor) UseImage(id string) (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.building[id]++
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.building[id]--; s.building[id] == 0 {
			delete(s.building, id)
		}
	})
}
