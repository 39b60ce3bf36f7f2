package registry

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// Client puts bytes into a registry and reads them back, and knows nothing about
// them. It is no witness, just hands.
type Client struct {
	Base string // http://127.0.0.1:port
	HTTP *http.Client
	Auth bool // as User
}

// Put uploads an image under a repository and tag, or "" for its digest only.
func (c Client) Put(repo, tag string, p Packed) error {
	for _, b := range append([]Blob{p.Config}, p.Blobs...) {
		if len(b) == 0 { // a list has no configuration
			continue
		}
		if err := c.PutBlob(repo, b); err != nil {
			return err
		}
	}
	if tag == "" {
		tag = p.Manifest.Digest()
	}
	_, _, err := c.do(http.MethodPut, "/v2/"+repo+"/manifests/"+tag, p.MediaType, p.Manifest, http.StatusCreated)
	return err
}

// PutBlob uploads one blob.
func (c Client) PutBlob(repo string, b Blob) error {
	header, _, err := c.do(http.MethodPost, "/v2/"+repo+"/blobs/uploads/", "", nil, http.StatusAccepted)
	if err != nil {
		return err
	}
	to, err := url.Parse(header.Get("Location"))
	if err != nil {
		return err
	}
	query := to.Query()
	query.Set("digest", b.Digest())
	_, _, err = c.do(http.MethodPut, to.Path+"?"+query.Encode(), "application/octet-stream", b, http.StatusCreated)
	return err
}

// Manifest reads a manifest, with its media type.
func (c Client) Manifest(repo, reference string) (Blob, string, error) {
	header, body, err := c.do(http.MethodGet, "/v2/"+repo+"/manifests/"+reference, "", nil, http.StatusOK)
	return body, header.Get("Content-Type"), err
}

// Blob reads a blob.
func (c Client) Blob(repo, digest string) (Blob, error) {
	_, body, err := c.do(http.MethodGet, "/v2/"+repo+"/blobs/"+digest, "", nil, http.StatusOK)
	return body, err
}

// Has says whether the repository has the blob.
func (c Client) Has(repo, digest string) bool {
	_, _, err := c.do(http.MethodHead, "/v2/"+repo+"/blobs/"+digest, "", nil, http.StatusOK)
	return err == nil
}

func (c Client) do(method, path, media string, body []byte, want int) (http.Header, []byte, error) {
	req, err := http.NewRequest(method, c.Base+path, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	if media != "" {
		req.Header.Set("Content-Type", media)
	}
	for _, accept := range []string{OCIManifest, OCIIndex, DockerManifest, DockerList} {
		req.Header.Add("Accept", accept)
	}
	if c.Auth {
		req.SetBasicAuth(User, Password)
	}
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != want {
		err = fmt.Errorf("%s %s: %s: %.200s", method, path, resp.Status, text)
	}
	return resp.Header, text, err
}
