package transfer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"github.com/docker/distribution/registry/api/errcode"
	"go.podman.io/image/v5/docker"
	"golang.org/x/sys/unix"

	"sbx/api"
)

// maxText is how much of a foreign text is shown, in characters.
const maxText = 300

// explain makes of err one line that says what was tried, on what, why it did not
// work and what to do. host is the registry; empty if there is none.
func explain(op, name, host string, err error) error {
	if err == nil {
		return nil
	}
	name = printable(name)
	var told *api.Error
	switch {
	case errors.As(err, &told):
		return about(op, name, told)
	case errors.Is(err, context.Canceled):
		return api.Errorf(op, name, "stopped")
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return api.Wrap(op, name, plainly(err)).WithHint("free some space: sbx image prune")
	case host == "":
		return api.Wrap(op, name, plainly(err))
	}
	if e := explainTLS(op, name, host, err); e != nil {
		return e
	}
	if e := explainStatus(op, name, host, err); e != nil {
		return e
	}
	return explainNetwork(op, name, host, err)
}

// about puts an error of a part under the name of the whole.
func about(op, name string, told *api.Error) *api.Error {
	e := *told
	e.Op, e.Path = op, name
	e.Msg = told.Msg
	if told.Op != op || told.Path != name && told.Path != "" {
		part := *told
		part.Hint = ""
		e.Msg = strings.TrimSuffix(part.Error(), ": ")
	}
	return &e
}

func explainTLS(op, name, host string, err error) *api.Error {
	var unknown x509.UnknownAuthorityError
	var verify *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	switch text := err.Error(); {
	case strings.Contains(text, "server gave HTTP response to HTTPS client"), errors.As(err, &record):
		return api.Errorf(op, name, "%s speaks plain HTTP, not TLS", host).
			WithHint("if that is meant so: --tls-verify=false, or insecure = true for it in registries.conf")
	case errors.As(err, &unknown):
		return api.Errorf(op, name, "the certificate of %s is signed by an authority that is not known here", host).
			WithHint("put the authority's certificate into ~/.config/containers/certs.d/%s/ca.crt, or give --tls-verify=false", host)
	case errors.As(err, &verify):
		return api.Errorf(op, name, "the certificate of %s is not valid: %s", host, clean(verify.Err.Error())).
			WithHint("check the name and the clock, or give --tls-verify=false")
	case strings.Contains(text, "tls: "):
		return api.Errorf(op, name, "no TLS with %s: %s", host, clean(text[strings.Index(text, "tls: "):])).
			WithHint("if it wants a client certificate, put client.cert and client.key into ~/.config/containers/certs.d/%s", host)
	}
	return nil
}

func explainStatus(op, name, host string, err error) *api.Error {
	says := registryText(err)
	switch status := httpStatus(err); {
	case status == http.StatusUnauthorized:
		return api.Errorf(op, name, "%s wants another user name or password: %s", host, says).
			WithHint("log in: sbx login %s", host)
	case status == http.StatusForbidden:
		return api.Errorf(op, name, "%s denies it: %s", host, says).
			WithHint("check the name, and that your account may do this; sbx login %s changes the account", host)
	case status == http.StatusNotFound:
		return api.Errorf(op, name, "%s does not have it: %s", host, says).
			WithHint("check the name and the tag")
	case status == http.StatusTooManyRequests:
		return api.Errorf(op, name, "%s limits how often one may ask, and the limit is reached", host).
			WithHint("wait a while, or log in for a higher limit: sbx login %s", host)
	case status >= 500:
		return api.Errorf(op, name, "%s has a fault of its own: status %d: %s", host, status, says).
			WithHint("try again later")
	case strings.Contains(err.Error(), "is blocked in"):
		return api.Errorf(op, name, "registries.conf blocks it").WithHint("take it from another registry, or change the file")
	}
	return nil
}

func explainNetwork(op, name, host string, err error) *api.Error {
	var dns *net.DNSError
	var timeout net.Error
	switch {
	case errors.As(err, &dns):
		return api.Errorf(op, name, "there is no host %s", printable(dns.Name)).
			WithHint("check the name, and that this machine can look up names; behind a proxy, set HTTPS_PROXY")
	case errors.Is(err, unix.ECONNREFUSED):
		by := ""
		var dial *net.OpError
		if errors.As(err, &dial) && dial.Op == "proxyconnect" && errors.As(dial.Err, &dial) && dial.Addr != nil {
			by = " by the proxy " + dial.Addr.String()
		}
		e := api.Errorf(op, name, "%s: connection refused%s", host, by).
			WithHint("check the address and the port, and that it runs")
		e.Errno = unix.ECONNREFUSED
		return e
	case errors.As(err, &timeout) && timeout.Timeout():
		why := "it does not answer"
		var silent *errSilent
		if errors.As(err, &silent) {
			why = silent.what
		}
		return api.Errorf(op, name, "%s: %s", host, why).
			WithHint("check the address and the network; behind a proxy, set HTTPS_PROXY")
	}
	return api.Wrap(op, name, plainly(err)).WithHint("check the address and the network, then try again")
}

var statusText = regexp.MustCompile(`(?:StatusCode: |HTTP |status: ?|status )(\d{3})\b`)

// httpStatus is the status that a registry answered with; 0: it is not known.
func httpStatus(err error) int {
	if err == nil {
		return 0
	}
	var login docker.ErrUnauthorizedForCredentials
	var status docker.UnexpectedHTTPStatusError
	var coded errcode.ErrorCoder
	switch {
	case errors.As(err, &login):
		return http.StatusUnauthorized
	case errors.Is(err, docker.ErrTooManyRequests):
		return http.StatusTooManyRequests
	case errors.As(err, &status):
		return status.StatusCode
	}
	if m := statusText.FindStringSubmatch(err.Error()); m != nil {
		n, _ := strconv.Atoi(m[1]) // three digits
		return n
	}
	if errors.As(err, &coded) {
		return coded.ErrorCode().Descriptor().HTTPStatusCode
	}
	return 0
}

// registryText is what the registry itself said, as far as the library kept it.
func registryText(err error) string {
	var coded errcode.Error
	if errors.As(err, &coded) && coded.Message != "" {
		return clean(coded.Message)
	}
	var login docker.ErrUnauthorizedForCredentials
	if errors.As(err, &login) {
		return clean(login.Err.Error())
	}
	return clean(err.Error())
}

// plainly is err with a text that can be shown, and its errno.
func plainly(err error) error { return &shown{clean(err.Error()), err} }

type shown struct {
	text string
	err  error
}

func (s *shown) Error() string { return s.text }
func (s *shown) Unwrap() error { return s.err }

var (
	userinfo  = regexp.MustCompile(`://[^/@\s"']*@`)
	query     = regexp.MustCompile(`(https?://[^\s"'?]*)\?[^\s"']*`)
	tokenBody = regexp.MustCompile(`body start "(?:[^"\\]|\\.)*"`)
	bearer    = regexp.MustCompile(`(?i)\b(bearer|basic) [A-Za-z0-9._~+/=-]{8,}`)
)

// clean makes a foreign text fit for one line of a terminal, and takes out what may
// be secret: user names and passwords in addresses, their queries (signed links),
// the answer of a token server.
func clean(s string) string {
	s = userinfo.ReplaceAllString(s, "://")
	s = query.ReplaceAllString(s, "$1")
	s = tokenBody.ReplaceAllString(s, "body not shown")
	s = bearer.ReplaceAllString(s, "$1 (not shown)")
	s = strings.Join(strings.Fields(s), " ")
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
	if r := []rune(s); len(r) > maxText {
		s = string(r[:maxText]) + "..."
	}
	return s
}

// printable quotes a name that would do something to a terminal.
func printable(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}
