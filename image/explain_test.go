package image

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sbx/api"
)

func TestExplain(t *testing.T) {
	for _, c := range []struct {
		err   error
		msg   string
		errno unix.Errno
	}{
		{&os.PathError{Op: "write", Path: "a", Err: unix.ENOSPC}, "write a: no space left on device", unix.ENOSPC},
		{fmt.Errorf("write layers.json: %w", unix.EDQUOT), "write layers.json: disk quota exceeded", unix.EDQUOT},
		{&os.PathError{Op: "open", Path: "no space left on device/x", Err: unix.ENOTDIR}, "open no space left on device/x: not a directory", unix.ENOTDIR},
		{errors.New("a\nb\x1b[2J"), "a; b?[2J", 0},
	} {
		var e *api.Error
		if !errors.As(explain(c.err, "do it"), &e) || e.Msg != c.msg || e.Errno != c.errno || e.Hint == "" {
			t.Errorf("%q: %+v", c.err, e)
		}
	}
	var e *api.Error
	if errors.As(explain(errors.New(strings.Repeat("é", 5000)), ""), &e); len(e.Msg) > longest+20 || !strings.Contains(e.Msg, " ... ") {
		t.Errorf("%d bytes", len(e.Msg))
	}
	if err := explain(context.Canceled, ""); err != context.Canceled {
		t.Errorf("context: %v", err)
	}
}

func TestAbout(t *testing.T) {
	err := about("import", refuse("do this", "why"), errors.New("layer x:\nbusy"), "a\x1b.tar")
	if want := `import "a\x1b.tar": why; it left something behind: layer x:?busy: do this`; err.Error() != want {
		t.Errorf("%s, want %s", err, want)
	}
}
