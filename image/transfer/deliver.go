package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/opencontainers/go-digest"
	imgspecv1 "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/image"
)

const (
	// parallelLayers is how many layers are fetched and unpacked at once.
	parallelLayers = 6
	// drain is how much more is read of a layer that cannot be unpacked, to see
	// whether it is the right one.
	drain = 256 << 20
)

// delivery is an image on its way into the store: everything about it is known but
// its layers.
type delivery struct {
	*session
	from      origin
	manifest  []byte
	mediaType string
	config    []byte
	conf      configuration
	layers    []imgspecv1.Descriptor // a layer without a digest is known by its diffID alone
	digests   []digest.Digest        // of the list it was chosen from

	// open opens layer i, and says what its data is to be verified by.
	open func(ctx context.Context, i int) (io.ReadCloser, imgspecv1.Descriptor, error)
	// remake, if not nil, makes the manifest when the sizes of the layers, unpacked,
	// are known; 0 for those that were there already.
	remake func(sizes []int64) ([]byte, error)
}

// cargo is what has been unpacked and is not part of the store yet.
type cargo struct {
	mu     sync.Mutex
	layers []*image.Staged
	blobs  []image.Blob
}

// deliver fetches the layers that the store does not have, and commits the image.
// fresh says that there were any. On an error nothing stays.
func (d *delivery) deliver(ctx context.Context) (img image.Image, fresh bool, err error) {
	ids := d.conf.RootFS.DiffIDs
	c := &cargo{layers: make([]*image.Staged, len(ids)), blobs: make([]image.Blob, len(ids))}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.discard(c, len(ids)))
		}
	}()
	there := d.Store.Chain(ids)
	for i := range ids[:there] {
		d.step(i, api.StepPresent, 0)
	}
	others, release := deskOf(d.Store).claimAll(chainIDs(ids)[there:])
	defer release()
	mine, theirs := []int{}, []int{}
	for i, other := range others {
		d.step(there+i, api.StepWaiting, 0)
		if other == nil {
			mine = append(mine, there+i)
		} else {
			theirs = append(theirs, there+i)
		}
	}
	if err := d.stage(ctx, c, mine); err != nil {
		return img, false, err
	}
	if theirs, err = d.await(ctx, others, ids, there, theirs); err != nil {
		return img, false, err
	}
	if err := d.stage(ctx, c, theirs); err != nil {
		return img, false, err
	}
	img, err = d.commit(ctx, c)
	return img, len(mine)+len(theirs) > 0, err
}

// await waits for the layers that another pull fetches, and returns those that it
// did not bring after all.
func (d *delivery) await(ctx context.Context, others []*claim, ids []digest.Digest, there int, theirs []int) ([]int, error) {
	for _, i := range theirs {
		select {
		case <-others[i-there].done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	have := d.Store.Chain(ids)
	var missing []int
	for _, i := range theirs {
		if i < have {
			d.step(i, api.StepPresent, 0)
		} else {
			missing = append(missing, i)
		}
	}
	return missing, nil
}

// commit makes the image part of the store. Layers that have come to it in another
// way meanwhile are not needed any more.
func (d *delivery) commit(ctx context.Context, c *cargo) (image.Image, error) {
	ids := d.conf.RootFS.DiffIDs
	if d.remake != nil {
		sizes := make([]int64, len(ids))
		for i, l := range c.layers {
			if l != nil {
				sizes[i] = l.Size
			}
		}
		var err error
		if d.manifest, err = d.remake(sizes); err != nil {
			return image.Image{}, err
		}
	}
	if err := d.discard(c, d.Store.Chain(ids)); err != nil {
		return image.Image{}, err
	}
	return d.Store.Commit(ctx, image.New{
		Manifest: d.manifest, MediaType: d.mediaType, Config: d.config, DiffIDs: ids,
		Layers: c.layers, Blobs: c.blobs, Names: d.from.names, Digests: d.digests,
	})
}

// discard throws away what has been unpacked of the n lowest layers.
func (d *delivery) discard(c *cargo, n int) error {
	var errs []error
	for i, l := range c.layers[:n] {
		if l != nil {
			errs = append(errs, d.Store.Discard(l))
			c.layers[i] = nil
		}
	}
	return errors.Join(errs...)
}

// stage fetches layers side by side, the lowest first. The first error stops the
// others.
func (d *delivery) stage(ctx context.Context, c *cargo, which []int) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelLayers)
	for _, i := range which {
		g.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			layer, blob, err := d.stageOne(ctx, i)
			c.mu.Lock()
			defer c.mu.Unlock()
			c.layers[i], c.blobs[i] = layer, blob
			return err
		})
	}
	return g.Wait()
}

func (d *delivery) step(i int, state string, done int64) {
	id, size := d.layers[i].Digest, d.layers[i].Size
	if id == "" {
		id = d.conf.RootFS.DiffIDs[i]
	}
	if state == api.StepPresent || state == api.StepComplete {
		done = size
	}
	d.board.set(stepID(id), state, done, size)
}

// stageOne fetches layer i, again from its beginning if the connection breaks for
// good.
func (d *delivery) stageOne(ctx context.Context, i int) (layer *image.Staged, blob image.Blob, err error) {
	limits := d.limits
	if d.from.repo == "" {
		limits.pauses = nil // a file is not better later
	}
	err = limits.retry(ctx, func() { d.step(i, api.StepRetrying, 0) }, func() error {
		var shared *sharedReader
		layer, blob, shared, err = d.try(ctx, i)
		if err == nil || shared == nil || ctx.Err() != nil {
			return err
		}
		// Somebody else's directory must not keep the user from pulling.
		shared.spoil()
		d.board.line("not used: a layer in " + printable(shared.dir) + ": " + clean(err.Error()))
		layer, blob, _, err = d.try(ctx, i)
		return err
	})
	if err != nil {
		return nil, blob, err
	}
	d.step(i, api.StepComplete, 0)
	return layer, blob, nil
}

// try fetches layer i once. shared is not nil if it came from a shared directory.
func (d *delivery) try(ctx context.Context, i int) (layer *image.Staged, b image.Blob, shared *sharedReader, err error) {
	r, want, err := d.open(ctx, i)
	if err != nil {
		return nil, b, nil, err
	}
	defer r.Close()
	shared, _ = r.(*sharedReader)
	layer, err = d.unpack(ctx, r, want, i)
	if watched, ok := r.(*blob); ok {
		err = watched.cause(err)
	}
	if err != nil || want.Digest == "" {
		return layer, b, shared, err
	}
	b = image.Blob{Digest: want.Digest, Size: want.Size, MediaType: want.MediaType}
	if d.from.repo != "" && want.Digest == d.layers[i].Digest {
		b.Repos = []string{d.from.repo}
	}
	return layer, b, shared, nil
}

// unpack stages one layer from r and verifies it, before and after decompression.
func (d *delivery) unpack(ctx context.Context, r io.Reader, want imgspecv1.Descriptor, i int) (_ *image.Staged, err error) {
	d.step(i, api.StepPulling, 0)
	var v *verifier
	in := r
	if want.Digest != "" {
		v = newVerifier(r, want, func(read int64) {
			state := api.StepPulling
			if read >= want.Size {
				state = api.StepUnpacking
			}
			d.step(i, state, min(read, d.layers[i].Size))
		})
		in = v
	}
	layer, err := d.Store.Stage(ctx, in, image.StageOptions{Source: stepID(d.conf.RootFS.DiffIDs[i])})
	if err == nil && v != nil && !errors.Is(v.err, io.EOF) {
		err = fmt.Errorf("layer %s was not read to its end", want.Digest)
	}
	if err == nil && layer.DiffID != d.conf.RootFS.DiffIDs[i] {
		err = mismatch(d.conf.RootFS.DiffIDs[i], "it unpacks to "+layer.DiffID.String())
	}
	if err == nil {
		return layer, nil
	}
	if layer != nil {
		err = errors.Join(err, d.Store.Discard(layer))
	}
	if v == nil || ctx.Err() != nil || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return nil, err
	}
	// What is wrong with the data says more than what the data did to tar.
	if fault := v.rest(drain); fault != nil {
		return nil, fault
	}
	return nil, err
}

// chainIDs name each layer together with all below it.
// https://github.com/opencontainers/image-spec/blob/v1.1.1/config.md#layer-chainid
func chainIDs(diffIDs []digest.Digest) []digest.Digest {
	chain := make([]digest.Digest, len(diffIDs))
	for i, id := range diffIDs {
		if chain[i] = id; i > 0 {
			chain[i] = digest.FromString(chain[i-1].String() + " " + id.String())
		}
	}
	return chain
}
