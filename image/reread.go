package image

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"os"

	"github.com/vbatts/tar-split/tar/storage"
	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/sys"
)

// OpenLayer gives layer i of an image, 0 is the bottom, as the very tar archive it
// came as, byte for byte. Reading it fails if a file of the layer has been changed.
// The store is not locked meanwhile: a layer that is removed ends with an error, too.
func (s *Store) OpenLayer(img Image, i int) (io.ReadCloser, error) {
	const op = "read layer"
	if i < 0 || i >= len(img.LayerIDs) {
		return nil, api.Errorf(op, img.ID, "the image has %d layers, there is no layer %d", len(img.LayerIDs), i+1)
	}
	id := img.LayerIDs[i]
	fail := func(err error) (io.ReadCloser, error) {
		return nil, api.Wrap(op, id, err).WithHint("the image is damaged or was removed: get it again")
	}
	root, err := unix.Open(s.layerDir(id), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fail(&os.PathError{Op: "open", Path: s.layerDir(id), Err: err})
	}
	split, err := os.Open(s.splitPath(id))
	if err != nil {
		unix.Close(root)
		return fail(err)
	}
	r, w := io.Pipe()
	go func() {
		defer unix.Close(root)
		defer split.Close()
		out := bufio.NewWriterSize(w, chunkSize)
		err := assemble(out, split, root)
		if err == nil {
			err = out.Flush()
		}
		if err != nil {
			err = api.Wrap(op, id, err).WithHint("the image is damaged or was removed: get it again")
		}
		w.CloseWithError(err)
	}()
	return r, nil
}

// assemble writes the archive of the layer whose files are in root.
func assemble(w io.Writer, split io.Reader, root int) error {
	buf := make([]byte, chunkSize)
	return splitEntries(split, func(_ int, e *storage.Entry) error {
		switch {
		case e.Type == storage.SegmentType:
			_, err := w.Write(e.Payload)
			return err
		case e.Size == 0:
			return nil
		}
		return body(w, root, e, buf)
	})
}

func body(w io.Writer, root int, e *storage.Entry, buf []byte) error {
	// Names are those of files themselves, but for layers that other programs have
	// made: they may go through a symbolic link.
	fd, err := sys.OpenInRoot(root, e.GetName(), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var sum uint64
	left := e.Size
	for left > 0 {
		n, err := unix.Read(fd, buf[:min(left, int64(len(buf)))])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return &os.PathError{Op: "read", Path: e.GetName(), Err: err}
		}
		if n == 0 {
			break
		}
		left -= int64(n)
		sum = crc(sum, buf[:n])
		if _, err := w.Write(buf[:n]); err != nil {
			return err
		}
	}
	if left > 0 || len(e.Payload) != 8 || binary.BigEndian.Uint64(e.Payload) != sum {
		return fmt.Errorf("the file %q is not what it was", e.GetName())
	}
	return nil
}
