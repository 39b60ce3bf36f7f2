package registry

import (
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
)

// Memory is a registry that keeps everything in memory.
func Memory() http.Handler { return registry.New(registry.Logger(log.New(io.Discard, "", 0))) }

// Behind passes everything on to a registry that listens elsewhere.
func Behind(r *Registry) http.Handler {
	to := &url.URL{Scheme: "http", Host: r.Addr}
	return &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(to)
			p.Out.Host = p.In.Host // the registry says where to go on, by our name
		},
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0), // what was cut on purpose
	}
}

// Front is a server in front of a registry. It counts what is asked, and serves
// the faults that a test orders.
type Front struct {
	Addr    string // 127.0.0.1:port
	backend http.Handler
	server  *http.Server
	mu      sync.Mutex
	faults  []*fault
	seen    []Request
}

// Request is one that the front has seen.
type Request struct {
	Method, Path, Query  string
	Authorization, Range string
	Agent                string
}

// Fault answers a request in the place of the registry, which is next.
type Fault func(w http.ResponseWriter, r *http.Request, next http.Handler)

type fault struct {
	method, part string
	times        int
	do           Fault
}

// NewFront starts a front on a free port, with TLS when there is a configuration.
// The caller closes it.
func NewFront(backend http.Handler, secure *tls.Config) (*Front, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f := &Front{Addr: l.Addr().String(), backend: backend}
	f.server = &http.Server{Handler: f, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	if secure != nil {
		l = tls.NewListener(l, secure)
	}
	go func() { _ = f.server.Serve(l) }() // until it is closed
	return f, nil
}

// Close ends the front and every connection to it.
func (f *Front) Close() error {
	if err := f.server.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// Fault orders a fault for the next so many requests of a method whose path holds
// that part; a negative number is for ever. The latest order that fits is served.
func (f *Front) Fault(method, part string, times int, do Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = append(f.faults, &fault{method, part, times, do})
}

// Mend forgets all faults.
func (f *Front) Mend() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = nil
}

// Forget forgets the requests that were seen.
func (f *Front) Forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen = nil
}

// Requests are the ones of a method, or of any, whose path holds that part.
func (f *Front) Requests(method, part string) []Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	var found []Request
	for _, r := range f.seen {
		if (method == "" || r.Method == method) && strings.Contains(r.Path, part) {
			found = append(found, r)
		}
	}
	return found
}

// Count is their number.
func (f *Front) Count(method, part string) int { return len(f.Requests(method, part)) }

func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.seen = append(f.seen, Request{r.Method, r.URL.Path, r.URL.RawQuery, r.Header.Get("Authorization"), r.Header.Get("Range"), r.UserAgent()})
	var do Fault
	for _, x := range slices.Backward(f.faults) {
		if x.method == r.Method && strings.Contains(r.URL.Path, x.part) && x.times != 0 {
			x.times--
			do = x.do
			break
		}
	}
	f.mu.Unlock()
	if do == nil {
		f.backend.ServeHTTP(w, r)
		return
	}
	do(w, r, f.backend)
}
