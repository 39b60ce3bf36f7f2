package registry

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"time"
)

// edited gives a fault that changes a whole answer before it is sent.
func edited(edit func(header http.Header, body []byte) []byte) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		rec := httptest.NewRecorder()
		next.ServeHTTP(rec, r)
		body := edit(rec.Header(), rec.Body.Bytes())
		maps.Copy(w.Header(), rec.Header())
		w.WriteHeader(rec.Code)
		_, _ = w.Write(body) // the client may be gone
	}
}

// Flip turns over one bit of the answer's byte at that offset, from its end when
// negative.
func Flip(offset int) Fault {
	return edited(func(_ http.Header, body []byte) []byte {
		at := offset
		if at < 0 {
			at += len(body)
		}
		body = slices.Clone(body)
		body[at] ^= 0x10
		return body
	})
}

// Short answers with the first n bytes, as if there were no more.
func Short(n int) Fault {
	return edited(func(header http.Header, body []byte) []byte {
		header.Set("Content-Length", strconv.Itoa(n))
		return body[:n]
	})
}

// Instead answers with other bytes of another media type; "" keeps it.
func Instead(mediaType string, b Blob) Fault {
	return edited(func(header http.Header, body []byte) []byte {
		if mediaType != "" {
			header.Set("Content-Type", mediaType)
		}
		if b == nil {
			return body
		}
		header.Del("Docker-Content-Digest")
		header.Set("Content-Length", strconv.Itoa(len(b)))
		return b
	})
}

// Answer is a status with a registry's error, and headers as pairs.
func Answer(status int, code, message string, headers ...string) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		for pair := range slices.Chunk(headers, 2) {
			w.Header().Set(pair[0], pair[1])
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		// The client may be gone.
		_ = json.NewEncoder(w).Encode(map[string]any{"errors": []any{map[string]any{"code": code, "message": message}}})
	}
}

// To sends the client to another host for the same path.
func To(base string) Fault {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		http.Redirect(w, r, base+r.URL.RequestURI(), http.StatusTemporaryRedirect)
	}
}

// Tags answers with so many tags, in pages as the client wants them.
func Tags(repo string, n int) Fault {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		page, err := strconv.Atoi(r.URL.Query().Get("n"))
		if err != nil || page <= 0 || page > 1000 {
			page = 1000
		}
		first, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Query().Get("last"), "t")) // 0: none
		tags := []string{}
		for k := first + 1; k <= min(n, first+page); k++ {
			tags = append(tags, "t"+strconv.Itoa(k))
		}
		if first+page < n {
			w.Header().Set("Link", "<"+r.URL.Path+"?n="+strconv.Itoa(page)+"&last=t"+strconv.Itoa(first+page)+">; rel=\"next\"")
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"name": repo, "tags": tags}) // the client may be gone
	}
}

// paced writes an answer piece by piece.
type paced struct {
	http.ResponseWriter
	write func(p []byte) (int, error)
}

func (p paced) Write(b []byte) (int, error) { return p.write(b) }

// send writes and makes sure that it goes out at once.
func send(w http.ResponseWriter, b []byte) (int, error) {
	n, err := w.Write(b)
	if err == nil {
		err = http.NewResponseController(w).Flush()
	}
	return n, err
}

// Cut drops the connection after n bytes of the answer's body.
func Cut(n int) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		left := n
		next.ServeHTTP(paced{w, func(b []byte) (int, error) {
			_, _ = send(w, b[:min(left, len(b))]) // it is cut anyway
			if left -= len(b); left <= 0 {
				panic(http.ErrAbortHandler)
			}
			return len(b), nil
		}}, r)
	}
}

// Drip sends so many bytes at a time, with a pause after each.
func Drip(bytes int, pause time.Duration) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		next.ServeHTTP(paced{w, func(b []byte) (int, error) {
			for piece := range slices.Chunk(b, bytes) {
				if _, err := send(w, piece); err != nil {
					return 0, err
				}
				select {
				case <-r.Context().Done():
				case <-time.After(pause):
				}
			}
			return len(b), nil
		}}, r)
	}
}

// Hold sends n bytes of the body, calls reached, and goes on when release is
// closed or the client has gone.
func Hold(n int, reached func(), release <-chan struct{}) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		left, held := n, false
		next.ServeHTTP(paced{w, func(b []byte) (int, error) {
			now := min(left, len(b))
			if _, err := send(w, b[:now]); err != nil {
				return 0, err
			}
			if left -= now; left == 0 && !held {
				held = true
				reached()
				select {
				case <-release:
				case <-r.Context().Done():
				}
			}
			_, err := w.Write(b[now:])
			return len(b), err
		}}, r)
	}
}

// Token is a fault for every request that wants a bearer token first, which is had
// at /token for the user and the password (the front has to serve that by Tokens).
func Token(base string) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Header.Get("Authorization") == "Bearer "+token {
			next.ServeHTTP(w, r)
			return
		}
		Answer(http.StatusUnauthorized, "UNAUTHORIZED", "authentication required",
			"WWW-Authenticate", `Bearer realm="`+base+`/token",service="test"`)(w, r, next)
	}
}

// token opens a registry behind Token. It must never be shown either.
const token = "sesame-7b1f"

// Secrets are what must not appear in any log, error or argument.
func Secrets() []string { return []string{Password, token} }

// Tokens hands out the token of Token.
func Tokens(w http.ResponseWriter, r *http.Request, _ http.Handler) {
	if user, password, ok := r.BasicAuth(); !ok || user != User || password != Password {
		Answer(http.StatusUnauthorized, "UNAUTHORIZED", "wrong")(w, r, nil)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"token": token, "expires_in": 300}) // the client may be gone
}
