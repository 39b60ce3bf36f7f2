// Package registry gives tests and benchmarks registries of their own on loopback:
// the real one of the distribution as a process (Start), a server in front of any
// registry that serves faults and counts requests (Front), certificates of an
// authority made on the spot (Authority), and images made of nothing but bytes, so
// that a test says exactly what is in them (Image, List).
package registry

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// User and Password open a registry that was started with Options.Auth. The
// password has what breaks careless quoting.
const (
	User     = "tester"
	Password = "pass word:%40/\"ü"
)

// htpasswd is User and Password as the registry reads them; bcrypt, lowest cost.
const htpasswd = User + ":$2y$05$abcdefghijklmnopqrstuus4zxSuVTnvfIa.iIOkgMS00QPZ0MY0O\n"

// Options of a registry.
type Options struct {
	TLS  *Authority // nil: plain HTTP
	Auth bool       // only for User
}

// Registry is docker-registry as a process, with its storage in a directory.
type Registry struct {
	Addr string // 127.0.0.1:port
	cmd  *exec.Cmd
	log  bytes.Buffer
	done chan struct{}
}

// Start starts docker-registry in that directory, which may have served before,
// and waits until it answers. The caller stops it.
func Start(dir string, o Options) (*Registry, error) {
	var err error
	for range 3 { // another process may take the port in between
		var r *Registry
		if r, err = start(dir, o); err == nil {
			return r, nil
		}
	}
	return nil, err
}

func start(dir string, o Options) (*Registry, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &Registry{Addr: l.Addr().String(), done: make(chan struct{})}
	if err := l.Close(); err != nil {
		return nil, err
	}
	config, err := r.configure(dir, o)
	if err != nil {
		return nil, err
	}
	r.cmd = exec.Command("docker-registry", "serve", config)
	r.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}
	r.cmd.Stdout, r.cmd.Stderr = &r.log, &r.log
	// It has to go when the test dies: nobody else knows of it.
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = r.cmd.Wait() // it is killed, or says why it ended in its log
		close(r.done)
	}()
	if err := r.wait(o); err != nil {
		return nil, errors.Join(err, r.Stop())
	}
	return r, nil
}

// configure writes the registry's configuration and gives its path.
func (r *Registry) configure(dir string, o Options) (string, error) {
	write := func(name, text string) (string, error) {
		path := filepath.Join(dir, name)
		return path, os.WriteFile(path, []byte(text), 0o600)
	}
	config := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"+
		"storage: {filesystem: {rootdirectory: %q}, delete: {enabled: true}}\nhttp:\n  addr: %s\n  secret: x\n",
		filepath.Join(dir, "storage"), r.Addr)
	if o.TLS != nil {
		cert, key, err := o.TLS.issue(dir)
		if err != nil {
			return "", err
		}
		config += fmt.Sprintf("  tls: {certificate: %q, key: %q}\n", cert, key)
	}
	if o.Auth {
		path, err := write("htpasswd", htpasswd)
		if err != nil {
			return "", err
		}
		config += fmt.Sprintf("auth: {htpasswd: {realm: test, path: %q}}\n", path)
	}
	return write("config.yml", config)
}

// wait waits until the registry answers anything at all.
func (r *Registry) wait(o Options) error {
	url, client := "http://"+r.Addr+"/v2/", &http.Client{Timeout: 2 * time.Second}
	if o.TLS != nil {
		url = "https://" + r.Addr + "/v2/"
		client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: o.TLS.Pool()}, DisableKeepAlives: true}
	}
	for end := time.Now().Add(15 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err == nil {
			var resp *http.Response
			if resp, err = client.Do(req); err == nil {
				err = resp.Body.Close()
			}
		}
		cancel()
		select {
		case <-r.done:
			return fmt.Errorf("docker-registry ended: %s", r.log.Bytes())
		default:
		}
		if err == nil || time.Now().After(end) {
			return err
		}
	}
}

// Stop ends the registry.
func (r *Registry) Stop() error {
	select {
	case <-r.done:
		return nil
	default:
	}
	if err := r.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-r.done
	return nil
}
