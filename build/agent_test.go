package build

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	sshagent "golang.org/x/crypto/ssh/agent"

	"sbx/api"
)

// keyFiles writes keys of every usual kind, as ssh-keygen does.
func keyFiles(t *testing.T, passphrase string) (files []*os.File, names []string) {
	t.Helper()
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []any{edKey, ecKey, rsaKey} {
		var block *pem.Block
		if passphrase == "" {
			block, err = ssh.MarshalPrivateKey(key, "comment")
		} else {
			block, err = ssh.MarshalPrivateKeyWithPassphrase(key, "comment", []byte(passphrase))
		}
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, textFile(t, pem.EncodeToMemory(block)))
		names = append(names, "key")
	}
	return files, names
}

func textFile(t *testing.T, text []byte) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// listening gives a connection to an agent, and what ends the agent.
func listening(t *testing.T, a *agent) (at string, c net.Conn, stop func() error) {
	t.Helper()
	at = filepath.Join(t.TempDir(), "sock")
	stop, err := a.listen(at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop() })
	if c, err = net.Dial("unix", at); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return at, c, stop
}

// Keys of files sign what a server accepts; a client that knows the protocol is the
// witness. The user's own agent, behind us, does as well.
func TestAgentSigns(t *testing.T) {
	files, names := keyFiles(t, "")
	keys, err := newAgent(&api.BuildSSH{ID: "default", Keys: names}, files)
	if err != nil {
		t.Fatal(err)
	}
	behind, _, _ := listening(t, keys)
	for name, a := range map[string]*agent{"keys": keys, "agent": {socket: behind}} {
		_, c, _ := listening(t, a)
		client := sshagent.NewClient(c)
		list, err := client.List()
		if err != nil || len(list) != len(files) {
			t.Fatalf("%s: %v, %v", name, list, err)
		}
		data := []byte("what is to be signed")
		for _, key := range list {
			for flags, format := range map[sshagent.SignatureFlags]string{0: "", sshagent.SignatureFlagRsaSha256: ssh.KeyAlgoRSASHA256, sshagent.SignatureFlagRsaSha512: ssh.KeyAlgoRSASHA512} {
				signature, err := client.SignWithFlags(key, data, flags)
				if err != nil {
					t.Errorf("%s: %s: %v", name, key.Type(), err)
					continue
				}
				if err := key.Verify(data, signature); err != nil {
					t.Errorf("%s: %s: %v", name, key.Type(), err)
				}
				if key.Type() == ssh.KeyAlgoRSA && format != "" && signature.Format != format {
					t.Errorf("%s: a signature of %s, want %s", name, signature.Format, format)
				}
			}
		}
		if _, err := client.Sign(ssh.PublicKey(&sshagent.Key{Format: ssh.KeyAlgoED25519, Blob: []byte("none")}), data); err == nil {
			t.Errorf("%s: signed with a key that is not there", name)
		}
	}
}

// A step cannot change the user's agent: neither its keys nor what it has loaded.
func TestThreat43AgentIsReadOnly(t *testing.T) {
	ring := sshagent.NewKeyring()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err == nil {
		err = ring.Add(sshagent.AddedKey{PrivateKey: key, Comment: "the user's"})
	}
	if err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(t.TempDir(), "own")
	l, err := net.Listen("unix", own)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _ = sshagent.ServeAgent(ring, c) }()
		}
	}()
	_, c, _ := listening(t, &agent{socket: own})
	client := sshagent.NewClient(c)
	list, err := client.List()
	if err != nil || len(list) != 1 || list[0].Comment != "the user's" {
		t.Fatalf("%v, %v", list, err)
	}
	for what, try := range map[string]func() error{
		"add":        func() error { return client.Add(sshagent.AddedKey{PrivateKey: key}) },
		"remove":     func() error { return client.Remove(list[0]) },
		"remove all": client.RemoveAll,
		"lock":       func() error { return client.Lock([]byte("x")) },
		"unlock":     func() error { return client.Unlock([]byte("x")) },
		"extension":  func() error { _, err := client.Extension("query", nil); return err },
	} {
		if try() == nil {
			t.Errorf("%s: it can be done", what)
		}
	}
	if now, err := ring.List(); err != nil || len(now) != 1 {
		t.Errorf("the agent has %v, %v", now, err)
	}
}

// Once a step is over its connections are of no use, to whomever they were given.
func TestThreat43AgentEndsWithItsStep(t *testing.T) {
	files, names := keyFiles(t, "")
	a, err := newAgent(&api.BuildSSH{Keys: names}, files)
	if err != nil {
		t.Fatal(err)
	}
	hung := filepath.Join(t.TempDir(), "hung") // of a user who does not confirm
	l, err := net.Listen("unix", hung)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for name, a := range map[string]*agent{"keys": a, "agent that does not answer": {socket: hung}} {
		at, c, stop := listening(t, a)
		if name == "keys" {
			if _, err := sshagent.NewClient(c).List(); err != nil {
				t.Fatal(err)
			}
		} else if err := writeMessage(c, []byte{agentListRequest}); err != nil {
			t.Fatal(err)
		}
		for range 2 * mostClients { // more than are served
			more, err := net.Dial("unix", at)
			if err != nil {
				t.Fatal(err)
			}
			defer more.Close()
		}
		done := make(chan error, 1)
		go func() { done <- stop() }()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: it does not end", name)
		}
		c.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: the connection is still there", name)
		}
		if _, err := net.Dial("unix", at); err == nil {
			t.Errorf("%s: it still listens", name)
		}
	}
}

// What is no message ends the connection, and nothing else.
func TestAgentBadMessages(t *testing.T) {
	files, names := keyFiles(t, "")
	a, err := newAgent(&api.BuildSSH{Keys: names}, files)
	if err != nil {
		t.Fatal(err)
	}
	at, _, _ := listening(t, a)
	for _, bad := range []string{"\x00\x00\x00\x00", "\xff\xff\xff\xff", "\x00\x00\x00\x01\x0d", "\x00\x00\x00\x06\x0d\x7f\xff\xff\xffx", "\x00\x00"} {
		c, err := net.Dial("unix", at)
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := c.Write([]byte(bad)); err != nil {
			t.Fatal(err)
		}
		if err := c.(*net.UnixConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if reply, err := io.ReadAll(c); len(reply) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%q: %q, %v", bad, reply, err)
		}
		c.Close()
	}
	c, err := net.Dial("unix", at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if list, err := sshagent.NewClient(c).List(); err != nil || len(list) != 3 {
		t.Errorf("%v, %v", list, err)
	}
}

// Keys that cannot be used are refused, and the error has nothing of them.
func TestAgentBadKeys(t *testing.T) {
	encrypted, _ := keyFiles(t, "passphrase")
	good, _ := keyFiles(t, "")
	text, err := io.ReadAll(good[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		f           *os.File
		words, hint string
	}{
		{encrypted[0], "it is encrypted", "ssh-add the-key"},
		{encrypted[2], "it is encrypted", "ssh-add the-key"},
		{textFile(t, []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nc2VjcmV0\n-----END ENCRYPTED PRIVATE KEY-----\n")), "it is encrypted", "ssh-add"},
		{textFile(t, []byte("ssh-ed25519 AAAAC3NzaC1 secret")), "no private key", "PRIVATE KEY"},
		{textFile(t, nil), "no private key", "PRIVATE KEY"},
		{textFile(t, text[:len(text)/2]), "no private key", "PRIVATE KEY"},
		{textFile(t, []byte("-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n-----END OPENSSH PRIVATE KEY-----\n")), "can be read", "ssh-add"},
		{textFile(t, []byte(strings.Repeat("secret", mostKey))), "no private key", "PRIVATE KEY"},
	} {
		_, err := newAgent(&api.BuildSSH{Keys: []string{"the-key"}}, []*os.File{c.f})
		var e *api.Error
		if !errors.As(err, &e) || !strings.Contains(e.Error(), c.words) || !strings.Contains(e.Hint, c.hint) || strings.Contains(e.Error()+e.Hint, "secret") {
			t.Errorf("error %v, want one with %q and %q", err, c.words, c.hint)
		}
	}
}
