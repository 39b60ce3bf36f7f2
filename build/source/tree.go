package source

import (
	"context"
	"sync"

	"github.com/opencontainers/go-digest"

	"sbx/build/files"
)

// Tree is what ADD names by a URL. Its content is there when an item of it is written.
type Tree struct {
	Name    string // of a download, the file
	Commit  string // of a repository
	private *private
	root    files.Root
	digest  string        // stands for what is meant
	content digest.Digest // of a download

	mu  sync.Mutex
	got bool
	get func(context.Context) error
}

// Item is the source of the ADD.
func (t *Tree) Item(unpack bool) files.Item {
	path := t.Name
	if path == "" {
		path = "/"
	}
	return files.Item{From: &t.root, Path: path, Literal: true, Unpack: unpack && t.Name != "", Digest: t.digest, Ready: t.ready}
}

// ready gets the content, once.
func (t *Tree) ready(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.got {
		return nil
	}
	err := t.get(ctx)
	t.got = err == nil
	return err
}

// Close removes it.
func (t *Tree) Close() error {
	if t.root.Dir != nil && t.root.Dir != t.private.dir {
		t.root.Dir.Close()
	}
	return t.private.Close()
}
