package image

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/ulikunitz/xz"
)

func xzOf(t testing.TB, data []byte, block int64) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := xz.WriterConfig{BlockSize: block}.NewWriter(&out)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// greedy changes the size of the dictionary in the first block's header.
func greedy(stream []byte, bits byte) []byte {
	stream = bytes.Clone(stream)
	header := stream[12 : 12+(int(stream[12])+1)*4]
	at := bytes.Index(header, []byte{0x21, 1})
	header[at+2] = bits
	binary.LittleEndian.PutUint32(header[len(header)-4:], crc32.ChecksumIEEE(header[:len(header)-4]))
	return stream
}

func unxz(data []byte, most uint64) ([]byte, error) {
	r, err := xz.NewReader(newXZWindow(bufio.NewReader(bytes.NewReader(data)), most))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

func TestXZWindow(t *testing.T) {
	noise := make([]byte, 300_000) // is stored, not compressed
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	data := slices.Concat(noise, []byte(strings.Repeat("words ", 100_000)))
	blocks, plain := xzOf(t, data, 100_001), xzOf(t, data, 1<<40)
	for name, c := range map[string]struct {
		in, want []byte
		err      string
	}{
		"one block":                {plain, data, ""},
		"blocks":                   {blocks, data, ""},
		"streams and padding":      {slices.Concat(blocks, make([]byte, 8), plain), slices.Concat(data, data), ""},
		"nothing":                  {xzOf(t, nil, 1<<40), nil, ""},
		"a large dictionary":       {greedy(plain, 30), nil, "wants a dictionary of 128.0 MiB, 64.0 MiB is the limit"},
		"the largest":              {greedy(plain, 40), nil, "wants a dictionary of 4.0 GiB"},
		"none that there is":       {greedy(plain, 63), nil, "wants a dictionary"},
		"in a second stream":       {slices.Concat(blocks, greedy(plain, 40)), nil, "wants a dictionary of 4.0 GiB"},
		"cut off":                  {blocks[:len(blocks)/2], nil, "unexpected EOF"},
		"no chunk":                 {slices.Concat(plain[:12+(int(plain[12])+1)*4], []byte{0x70}), nil, "not those of xz"},
		"a large one in its midst": {slices.Concat(blocks[:len(blocks)-40], greedy(plain, 40)), nil, " "},
	} {
		got, err := unxz(c.in, 64<<20)
		switch {
		case c.err == "" && (err != nil || !bytes.Equal(got, c.want)):
			t.Errorf("%s: %d bytes, %v, want %d", name, len(got), err, len(c.want))
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%s: %v, want %q", name, err, c.err)
		}
	}
}

// What the decoder accepts it accepts behind the window, too, byte for byte.
func FuzzXZWindow(f *testing.F) {
	f.Add(xzOf(f, []byte(strings.Repeat("a few words ", 50)), 200))
	f.Add(xzOf(f, nil, 1))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < 6 || greedyAnywhere(data) {
			return
		}
		got, err := unxz(data, 1<<20)
		if err != nil {
			return
		}
		r, err := xz.NewReader(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if want, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes, without the window %d, %v", len(got), len(want), err)
		}
	})
}

// greedyAnywhere keeps the fuzzing itself from taking the memory.
func greedyAnywhere(data []byte) bool {
	_, err := io.Copy(io.Discard, newXZWindow(bufio.NewReader(bytes.NewReader(data)), 1<<20))
	return err != nil && strings.Contains(err.Error(), "wants a dictionary")
}
