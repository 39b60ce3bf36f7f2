package source

import (
	"context"
	"errors"
	"hash"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/build/files"
	"sbx/internal/dirs"
)

// Bounds of a download.
const (
	mostDownload = 16 << 30         // bytes
	stall        = 60 * time.Second // without a byte
	mostHops     = 10               // redirects
)

// IsHTTP says whether ADD gets a source by HTTP.
func IsHTTP(source string) bool {
	return strings.HasPrefix(source, "http://") || strings.HasPrefix(source, "https://")
}

// FetchHTTP finds out what there is to download. The file's name is the last part of the
// URL's path, its mode 0600, its time what the server says. A checksum that is given,
// ALGORITHM:HEX, must be that of the content. What is known by the checksum, or by the
// server's word that it has not changed, is downloaded only when it is written.
func FetchHTTP(ctx context.Context, source, checksum string, o Options) (*Tree, error) {
	u, err := url.Parse(source)
	if err != nil || u.Host == "" {
		return nil, api.Errorf("download", source, "not a URL")
	}
	want := digest.Digest(checksum)
	if checksum != "" {
		if err := want.Validate(); err != nil {
			return nil, api.Errorf("download", shownURL(u), "checksum %q: %s", checksum, err).WithHint("give it as sha256:HEX")
		}
	}
	t := &Tree{Name: "__unnamed__"} // as BuildKit calls it
	if base := path.Base(u.Path); base != "." && base != "/" && base != ".." {
		t.Name = base
	}
	if t.private, err = o.private(); err != nil {
		return nil, err
	}
	t.root = files.Root{Dir: t.private.dir, Shown: "the download"}
	d := &download{u: u, want: want, o: &o, dir: t.private, name: t.Name}
	t.get = func(ctx context.Context) error {
		got, err := d.get(ctx, seenFile{})
		if err == nil && got != t.content {
			err = api.Errorf("download", shownURL(u), "it has changed since the build began").WithHint("build again")
		}
		return err
	}
	switch {
	case want != "":
		t.content = want
	default:
		before := o.seen(source)
		t.content, err = d.get(ctx, before)
		t.got = err == nil
		if errors.Is(err, errNotModified) {
			t.content, err = before.Digest, nil
		}
	}
	if err != nil {
		return nil, errors.Join(err, t.Close())
	}
	t.digest = "download " + t.Name + " " + t.content.String()
	return t, nil
}

// shownURL is a URL without a password.
func shownURL(u *url.URL) string { return u.Redacted() }

func client() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: 30 * time.Second}).DialContext,
			TLSHandshakeTimeout:   30 * time.Second,
			ResponseHeaderTimeout: stall,
			DisableCompression:    true, // the file as it is on the server
			DisableKeepAlives:     true,
		},
		CheckRedirect: func(_ *http.Request, via []*http.Request) error {
			if len(via) > mostHops {
				return errors.New("too many redirects")
			}
			return nil
		},
	}
}

// errNotModified is the server's word that a file is as it was.
var errNotModified = errors.New("not modified")

// download is one file that is downloaded.
type download struct {
	u    *url.URL
	want digest.Digest // empty: any
	o    *Options
	dir  *private
	name string
}

// get downloads the file, unless it is the one that was seen before, and gives its
// digest: the one that is wanted, or of SHA-256.
func (d *download) get(ctx context.Context, before seenFile) (digest.Digest, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	shown := shownURL(d.u)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.u.String(), nil)
	if err != nil {
		return "", api.Errorf("download", shown, "%s", err)
	}
	before.ask(req.Header)
	resp, err := client().Do(req)
	if err != nil {
		return "", unreachable(ctx, shown, err)
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotModified && before.Digest != "":
		return "", errNotModified
	case resp.StatusCode != http.StatusOK:
		return "", api.Errorf("download", shown, "the server says %s", resp.Status)
	case resp.ContentLength > mostDownload:
		return "", tooLarge(shown)
	}
	got, err := d.save(ctx, cancel, resp)
	if err != nil {
		return "", err
	}
	if d.want != "" && got != d.want {
		return "", api.Errorf("download", shown, "digest mismatch %s: %s", got, d.want).
			WithHint("the file on the server is not the one that --checksum names")
	}
	if d.want == "" {
		if err := d.o.remember(d.u.String(), seenOf(resp.Header, got)); err != nil {
			return "", err
		}
	}
	return got, d.setTime(resp.Header.Get("Last-Modified"))
}

// save writes the file, and ends the download with cancel when nothing comes any more.
func (d *download) save(ctx context.Context, cancel context.CancelCauseFunc, resp *http.Response) (digest.Digest, error) {
	idle := time.AfterFunc(stall, func() { cancel(errors.New("nothing has come for a minute")) })
	defer idle.Stop()
	path := filepath.Join(d.dir.path, d.name)
	fd, err := unix.Openat(int(d.dir.dir.Fd()), d.name, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return "", dirs.DiskError("create", path, err)
	}
	f := os.NewFile(uintptr(fd), d.name)
	defer f.Close()
	algorithm := digest.SHA256
	if d.want != "" {
		algorithm = d.want.Algorithm()
	}
	s := &saver{f: f, sum: algorithm.Hash(), read: func(done int64) {
		idle.Reset(stall)
		d.o.progress(done, max(resp.ContentLength, 0))
	}}
	n, err := io.Copy(s, io.LimitReader(resp.Body, mostDownload+1))
	switch {
	case s.err != nil:
		return "", dirs.DiskError("write", path, s.err)
	case err != nil:
		return "", unreachable(ctx, shownURL(d.u), err)
	case n > mostDownload:
		return "", tooLarge(shownURL(d.u))
	}
	return digest.NewDigest(algorithm, s.sum), nil
}

// saver writes a download, and computes a digest of it.
type saver struct {
	f    *os.File
	sum  hash.Hash
	n    int64
	read func(done int64)
	err  error // of the file
}

// Write implements io.Writer.
func (s *saver) Write(b []byte) (int, error) {
	s.sum.Write(b)
	n, err := s.f.Write(b)
	s.n, s.err = s.n+int64(n), err
	s.read(s.n)
	return n, err
}

// setTime gives the file the time of the server's, if there is one.
func (d *download) setTime(modified string) error {
	when, err := http.ParseTime(modified)
	if err != nil {
		return nil // none, or none that can be understood: the file is of now
	}
	name := filepath.Join(d.dir.path, d.name)
	if err := os.Chtimes(name, when, when); err != nil {
		return dirs.DiskError("utimensat", name, err)
	}
	return nil
}

func unreachable(ctx context.Context, shown string, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		if errors.Is(cause, context.Canceled) {
			return cause
		}
		err = cause
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	e := api.Errorf("download", shown, "%s", err)
	var errno unix.Errno
	if errors.As(err, &errno) {
		e.Errno = errno
	}
	return e
}

func tooLarge(shown string) error {
	return api.Errorf("download", shown, "it has more than 16 GiB")
}
