package transfer

import (
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/opencontainers/go-digest"
	imgspecv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"sbx/api"
)

// verifier passes a blob on and finds out whether it is the one that was asked for.
// Who reads it must not believe in the bytes before the end has come.
type verifier struct {
	r     io.Reader
	want  imgspecv1.Descriptor
	hash  hash.Hash
	read  int64
	moved func(read int64) // told of progress
	err   error            // of r, or why the blob is refused; sticky
}

// newVerifier needs a valid digest.
func newVerifier(r io.Reader, want imgspecv1.Descriptor, moved func(int64)) *verifier {
	return &verifier{r: r, want: want, hash: want.Digest.Algorithm().Hash(), moved: moved}
}

// Read implements io.Reader. The end of the data is passed on only if the data is
// right.
func (v *verifier) Read(p []byte) (int, error) {
	if v.err != nil {
		return 0, v.err
	}
	n, err := v.r.Read(p)
	v.hash.Write(p[:n])
	v.read += int64(n)
	if n > 0 {
		v.moved(v.read)
	}
	if v.read > v.want.Size {
		err = mismatch(v.want.Digest, fmt.Sprintf("it is longer than the %d bytes of the manifest", v.want.Size))
	} else if errors.Is(err, io.EOF) {
		err = v.check()
	}
	v.err = err
	return n, err
}

// check is called at the end and returns io.EOF if all is well.
func (v *verifier) check() error {
	if v.read < v.want.Size {
		// The library takes up a broken connection again; what it does not see as
		// broken ends here.
		return fmt.Errorf("%w: %d of %d bytes of %s", io.ErrUnexpectedEOF, v.read, v.want.Size, v.want.Digest)
	}
	if got := digest.NewDigest(v.want.Digest.Algorithm(), v.hash); got != v.want.Digest {
		return mismatch(v.want.Digest, "it is "+got.String())
	}
	return io.EOF
}

// rest reads on to the end, at most n bytes of it, to tell a blob that is broken
// from one that is not what was asked for.
func (v *verifier) rest(n int64) error {
	if v.err == nil && v.want.Size-v.read <= n {
		_, _ = io.Copy(io.Discard, v) // the error is in v.err
	}
	if errors.Is(v.err, io.EOF) {
		return nil
	}
	return v.err
}

func mismatch(want digest.Digest, why string) error {
	return api.Errorf("verify", want.String(), "the data is not what was asked for: %s", why).
		WithHint("the registry, a mirror, a proxy or the archive is damaged or lies; nothing was kept")
}

// readBlob reads a small blob whole, and checks it.
func readBlob(r io.Reader, want imgspecv1.Descriptor, limit int64) ([]byte, error) {
	if want.Size > limit {
		return nil, badManifest("%s has %d bytes, more than %d", want.Digest, want.Size, limit)
	}
	return io.ReadAll(newVerifier(r, want, func(int64) {}))
}
