package build

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/dirs"
	"sbx/view"
)

// agent is what a --ssh gives to steps and to git: the keys of the user's own agent, or
// those of files, for which this process is the agent. They can be listed and used;
// nothing can be added, removed, locked or loaded through it (CVE-2023-38408).
type agent struct {
	socket string // of the user's agent; empty: there are keys
	keys   []ssh.Signer
}

// newAgent reads the files of a --ssh, of which the names are for messages.
func newAgent(s *api.BuildSSH, files []*os.File) (*agent, error) {
	a := &agent{socket: s.Socket}
	for i, f := range files {
		key, err := readKey(f, s.Keys[i])
		if err != nil {
			return nil, err
		}
		a.keys = append(a.keys, key)
	}
	return a, nil
}

// mostKey bounds the file of a key, in bytes; one of 16384 bits has 13 KB.
const mostKey = 64 << 10

func readKey(f *os.File, name string) (ssh.Signer, error) {
	text, err := io.ReadAll(io.NewSectionReader(f, 0, mostKey+1))
	if err != nil {
		return nil, api.Wrap("read the key", view.Safe(name), errors.Unwrap(err))
	}
	key, err := ssh.ParsePrivateKey(text)
	if err == nil {
		return key, nil
	}
	e := api.Errorf("read the key", view.Safe(name), "it is no private key that can be read here").
		WithHint("add it to your agent: ssh-add %s, and give --ssh default", view.Safe(name))
	var locked *ssh.PassphraseMissingError
	block, _ := pem.Decode(text)
	switch {
	case errors.As(err, &locked), block != nil && strings.HasPrefix(block.Type, "ENCRYPTED"):
		e.Msg = "it is encrypted, and there is nobody to ask for the passphrase"
	case block == nil:
		e.Msg, e.Hint = "it is no private key", "give the file that has PRIVATE KEY in its first line"
	}
	return nil, e
}

// Messages of the protocol between ssh and its agent,
// https://datatracker.ietf.org/doc/draft-ietf-sshm-ssh-agent.
const (
	agentFailure     = 5
	agentListRequest = 11
	agentList        = 12
	agentSignRequest = 13
	agentSignature   = 14

	mostMessage = 256 << 10 // bytes, as OpenSSH has it
	mostClients = 32        // connections of a step at a time; more of them wait
)

// Flags of agentSignRequest: RSA signatures of another kind than with SHA-1.
const (
	agentSHA256 = 2
	agentSHA512 = 4
)

// listen makes a socket at which the agent answers until stop is called. After that
// nobody who still has a connection can use it.
func (a *agent) listen(at string) (stop func() error, err error) {
	// A path may be longer than a socket's address.
	dir, err := os.Open(filepath.Dir(at))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	l, err := net.Listen("unix", "/proc/self/fd/"+strconv.Itoa(int(dir.Fd()))+"/"+filepath.Base(at))
	if err != nil {
		return nil, api.Wrap("listen", at, err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // it goes with its directory
	ctx, cancel := context.WithCancel(context.Background())
	var conns sync.WaitGroup
	conns.Go(func() {
		places := make(chan struct{}, mostClients)
		for {
			places <- struct{}{} // one comes free at the latest when all are closed
			c, err := l.Accept()
			if ctx.Err() != nil {
				if err == nil {
					c.Close()
				}
				return
			}
			if err != nil {
				<-places
				time.Sleep(50 * time.Millisecond) // no descriptors: others give some back
				continue
			}
			conns.Go(func() {
				a.serve(ctx, c)
				<-places
			})
		}
	})
	return func() error {
		cancel()
		err := l.Close()
		conns.Wait()
		return err
	}, nil
}

// serve answers one connection. What goes wrong the program sees as its end.
func (a *agent) serve(ctx context.Context, c net.Conn) {
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	ask := a.answer
	if a.socket != "" {
		own, err := dialAgent(a.socket)
		if err != nil {
			return
		}
		defer own.Close()
		defer context.AfterFunc(ctx, func() { own.Close() })()
		ask = func(request []byte) ([]byte, error) {
			if err := writeMessage(own, request); err != nil {
				return nil, err
			}
			return readMessage(own)
		}
	}
	for {
		request, err := readMessage(c)
		if err != nil {
			return
		}
		reply := []byte{agentFailure}
		if request[0] == agentListRequest || request[0] == agentSignRequest {
			if reply, err = ask(request); err != nil {
				return
			}
		}
		if writeMessage(c, reply) != nil {
			return
		}
	}
}

var errMessage = errors.New("not a message of an SSH agent")

func readMessage(r io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(length[:])
	if n == 0 || n > mostMessage {
		return nil, errMessage
	}
	message := make([]byte, n)
	_, err := io.ReadFull(r, message)
	return message, err
}

func writeMessage(w io.Writer, message []byte) error {
	_, err := w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(message))), message...))
	return err
}

// answer lists the keys, or signs with one of them.
func (a *agent) answer(request []byte) ([]byte, error) {
	if request[0] == agentListRequest {
		reply := binary.BigEndian.AppendUint32([]byte{agentList}, uint32(len(a.keys)))
		for _, key := range a.keys {
			reply = append(reply, ssh.Marshal(struct {
				Blob    []byte
				Comment string
			}{Blob: key.PublicKey().Marshal()})...)
		}
		return reply, nil
	}
	var sign struct {
		Blob, Data []byte
		Flags      uint32
	}
	if err := ssh.Unmarshal(request[1:], &sign); err != nil {
		return nil, errMessage
	}
	i := slices.IndexFunc(a.keys, func(key ssh.Signer) bool { return string(key.PublicKey().Marshal()) == string(sign.Blob) })
	if i < 0 {
		return []byte{agentFailure}, nil
	}
	signature, err := signWith(a.keys[i], sign.Data, sign.Flags)
	if err != nil {
		return []byte{agentFailure}, nil
	}
	return append([]byte{agentSignature}, ssh.Marshal(struct{ Signature []byte }{ssh.Marshal(signature)})...), nil
}

func signWith(key ssh.Signer, data []byte, flags uint32) (*ssh.Signature, error) {
	algorithm := ""
	switch {
	case key.PublicKey().Type() != ssh.KeyAlgoRSA:
	case flags&agentSHA512 != 0:
		algorithm = ssh.KeyAlgoRSASHA512
	case flags&agentSHA256 != 0:
		algorithm = ssh.KeyAlgoRSASHA256
	}
	if algorithm == "" {
		return key.Sign(rand.Reader, data)
	}
	better, ok := key.(ssh.AlgorithmSigner)
	if !ok {
		return nil, errors.New("no " + algorithm)
	}
	return better.SignWithAlgorithm(rand.Reader, data, algorithm)
}

// dialAgent connects to the user's agent, which answers its own user only: who is
// another one in a sandbox.
func dialAgent(path string) (net.Conn, error) {
	f, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(f)
	return net.Dial("unix", "/proc/self/fd/"+strconv.Itoa(f))
}

// defaultAgent is the id of the --ssh that repositories are fetched with, as BuildKit
// has it.
const defaultAgent = "default"

// agentDir begins the names of the directories of agents that git asks, in the run
// directory.
const agentDir = "git-"

// gitAgent is the socket that git finds the keys of --ssh default at; empty: there are
// none. It is there as long as the build.
func (j *job) gitAgent() (string, error) {
	a := j.agents[defaultAgent]
	switch {
	case a == nil:
		return "", nil
	case a.socket != "":
		return a.socket, nil
	}
	// dirs has seen to it that a name like this is not too long for a socket.
	dir, err := os.MkdirTemp(j.b.run, agentDir)
	if err != nil {
		return "", dirs.DiskError("mkdir", j.b.run, err)
	}
	at := filepath.Join(dir, "s")
	stop, err := a.listen(at)
	if err != nil {
		return "", errors.Join(err, os.Remove(dir))
	}
	j.undo = append(j.undo, func() error { return errors.Join(stop(), os.RemoveAll(dir)) })
	return at, nil
}
