package image

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestExplain(t *testing.T) {
	for text, want := range map[string]struct {
		msg   string
		errno unix.Errno
	}{
		"unpacking failed (error: exit status 1; output: open /a: no space left on device)":                              {"open /a: no space left on device", unix.ENOSPC},
		"unpacking failed (error: exit status 1; output: time=\"x\" level=warning msg=y\nmkdir /a: disk quota exceeded)": {"mkdir /a: disk quota exceeded", unix.EDQUOT},
		"unpacking failed (error: exit status 1; output: open /no space left on device/x: not a directory)":              {"open /no space left on device/x: not a directory", 0},
		"a\nb\x1b[2J": {"a; b?[2J", 0},
	} {
		e := explain(errors.New(text))
		if e.Msg != want.msg || e.Errno != want.errno || e.Hint == "" {
			t.Errorf("%q: %+v", text, e)
		}
	}
	if e := explain(fmt.Errorf("write layers.json: %w", unix.ENOSPC)); e.Errno != unix.ENOSPC {
		t.Errorf("wrapped: %+v", e)
	}
	if e := explain(errors.New(strings.Repeat("é", 5000))); len(e.Msg) > longest+20 || !strings.Contains(e.Msg, " ... ") {
		t.Errorf("%d bytes", len(e.Msg))
	}
}

func TestAbout(t *testing.T) {
	err := about(refuse("do this", "why"), errors.New("layer x:\nbusy"), "a\x1b.tar")
	if want := `import "a\x1b.tar": why; it left something behind: layer x:?busy: do this`; err.Error() != want {
		t.Errorf("%s, want %s", err, want)
	}
}
