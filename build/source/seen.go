package source

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"sbx/internal/dirs"
)

// seenFile is what is known of a download: what the server wants to be asked with
// whether it has changed, and the digest that it had.
type seenFile struct {
	URL      string        `json:"url"` // its hash: there can be a password in it
	ETag     string        `json:"etag,omitempty"`
	Modified string        `json:"modified,omitempty"`
	Digest   digest.Digest `json:"digest"`
	Used     int64         `json:"used"` // seconds
}

// mostSeen bounds the file.
const mostSeen = 1000

// seenLock is held while the file is read and written.
var seenLock sync.Mutex

// seenOf is what an answer says about its file.
func seenOf(h http.Header, got digest.Digest) seenFile {
	return seenFile{ETag: h.Get("ETag"), Modified: h.Get("Last-Modified"), Digest: got}
}

// ask makes a request one for what is not the file that was seen.
func (s seenFile) ask(h http.Header) {
	switch {
	case s.Digest == "":
	case s.ETag != "":
		h.Set("If-None-Match", s.ETag)
	case s.Modified != "":
		h.Set("If-Modified-Since", s.Modified)
	}
}

func hashed(url string) string {
	sum := sha256.Sum256([]byte(url))
	return hex.EncodeToString(sum[:])
}

// readSeen reads what is known. What cannot be read is not known.
func readSeen(path string) []seenFile {
	var all []seenFile
	data, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(data, &all) != nil {
		return nil
	}
	return slices.DeleteFunc(all, func(s seenFile) bool { return s.Digest.Validate() != nil })
}

// seen is what is known of a URL.
func (o *Options) seen(url string) seenFile {
	if o.Seen == "" {
		return seenFile{}
	}
	seenLock.Lock()
	defer seenLock.Unlock()
	name := hashed(url)
	for _, s := range readSeen(o.Seen) {
		if s.URL == name {
			return s
		}
	}
	return seenFile{}
}

// remember keeps what is known of a URL, if the server can be asked with it.
func (o *Options) remember(url string, s seenFile) error {
	if o.Seen == "" || s.ETag == "" && s.Modified == "" {
		return nil
	}
	s.URL, s.Used = hashed(url), time.Now().Unix()
	seenLock.Lock()
	defer seenLock.Unlock()
	all := slices.DeleteFunc(readSeen(o.Seen), func(other seenFile) bool { return other.URL == s.URL })
	all = append(all, s)
	if len(all) > mostSeen {
		slices.SortFunc(all, func(x, y seenFile) int { return int(x.Used - y.Used) })
		all = all[len(all)-mostSeen:]
	}
	data, err := json.Marshal(all)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(o.Seen), 0o700)
	}
	if err == nil {
		err = os.WriteFile(o.Seen+".new", data, 0o600)
	}
	if err == nil {
		err = os.Rename(o.Seen+".new", o.Seen)
	}
	if err != nil {
		return dirs.DiskError("write", o.Seen, err)
	}
	return nil
}
