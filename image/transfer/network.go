package transfer

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http/httptrace"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// errSilent is the cause with which a watch ends its context.
type errSilent struct{ what string }

func (e *errSilent) Error() string { return e.what }

// Timeout makes it a timeout in the eyes of net.Error.
func (e *errSilent) Timeout() bool { return true }

// Temporary completes net.Error.
func (e *errSilent) Temporary() bool { return true }

// watch ends a context when the other side is silent for too long. The library has
// no such limits, and lets nobody set its transport; but it makes its requests with
// the caller's context, and that carries a trace.
type watch struct {
	limits limits
	cancel context.CancelCauseFunc
	mu     sync.Mutex
	timer  *time.Timer
}

// watched returns a context for requests that follow each other. stop must be
// called, after the last body has been read.
func watched(ctx context.Context, l limits) (_ context.Context, w *watch, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	w = &watch{limits: l, cancel: cancel}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn:              func(string) { w.expect(l.connect, "it cannot be reached in time") },
		GotConn:              func(httptrace.GotConnInfo) { w.relax() },
		WroteRequest:         func(httptrace.WroteRequestInfo) { w.expect(l.answer, "it does not answer") },
		GotFirstResponseByte: func() { w.relax() },
	})
	return ctx, w, func() { w.relax(); cancel(nil) }
}

// expect ends the context unless relax, or another expect, is called in time.
func (w *watch) expect(d time.Duration, what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
	}
	w.timer = time.AfterFunc(d, func() { w.cancel(&errSilent{what}) })
}

func (w *watch) relax() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
		w.timer = nil
	}
}

// body watches over a body that is read.
func (w *watch) body(r io.Reader) io.Reader { return &watchedBody{w, r} }

type watchedBody struct {
	w *watch
	r io.Reader
}

// Read implements io.Reader.
func (b *watchedBody) Read(p []byte) (int, error) {
	b.w.expect(b.w.limits.idle, "it has stopped sending")
	n, err := b.r.Read(p)
	b.w.relax()
	return n, err
}

// upload watches over a body that is sent: it is to be read now and then.
func (w *watch) upload(r io.Reader) io.Reader { return &watchedUpload{w, r} }

type watchedUpload struct {
	w *watch
	r io.Reader
}

// Read implements io.Reader.
func (u *watchedUpload) Read(p []byte) (int, error) {
	u.w.relax()
	n, err := u.r.Read(p)
	if err == nil {
		u.w.expect(u.w.limits.idle, "it has stopped taking data")
	}
	return n, err
}

// cause is why ctx ended if it was a watch that ended it, and err otherwise.
func cause(ctx context.Context, err error) error {
	var silent *errSilent
	if err != nil && errors.As(context.Cause(ctx), &silent) {
		return silent
	}
	return err
}

// retry calls try until it succeeds, the error is one that will not go away, or
// pauses are used up. notice is told before each pause.
func (l limits) retry(ctx context.Context, notice func(), try func() error) error {
	for _, pause := range l.pauses {
		err := try()
		if err == nil || ctx.Err() != nil || !passing(err) {
			return err
		}
		notice()
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
	return try()
}

// passing says that err may go away by itself. A registry that cannot be reached at
// all is not waited for: the name is wrong more often than it just starts. Neither
// is a rate limit: the library has waited five times, as Retry-After says, before
// we hear of one.
func passing(err error) bool {
	var told *api.Error
	var name *net.DNSError
	var cert *tls.CertificateVerificationError
	var timeout net.Error
	switch status := httpStatus(err); {
	case errors.As(err, &told), errors.As(err, &cert),
		errors.As(err, &name) && !name.IsTemporary,
		errors.Is(err, unix.ECONNREFUSED):
		return false
	case status >= 400:
		return status == 408 || status >= 500
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF),
		errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EPIPE):
		return true
	}
	return errors.As(err, &timeout) && timeout.Timeout()
}
