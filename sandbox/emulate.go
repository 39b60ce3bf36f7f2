package sandbox

import (
	"context"
	"errors"
	"io/fs"
	"runtime"
	"sync"

	"sbx/api"
	"sbx/binfmt"
	"sbx/image"
	"sbx/internal/remedy"
	"sbx/view"
)

// emulation is what is known of programs for other processors.
type emulation struct {
	mu   sync.Mutex
	runs map[string]bool // architectures whose programs are executed
}

// Runs sees to it that programs for a platform can be executed in sandboxes: by this
// processor, by what the host has registered, or by QEMU, which is registered for the
// user's own namespaces then.
func (s *Supervisor) Runs(ctx context.Context, os, arch string) error {
	if os == runtime.GOOS && arch == runtime.GOARCH {
		return nil
	}
	e := api.Errorf("run", "", "programs for %s cannot be executed on %s/%s", view.Safe(os+"/"+arch), runtime.GOOS, runtime.GOARCH)
	if os != runtime.GOOS || !binfmt.Known(arch) {
		return e.WithHint("choose another image, or another one of its platforms with --platform")
	}
	s.emulation.mu.Lock()
	defer s.emulation.mu.Unlock()
	if s.emulation.runs[arch] {
		return nil
	}
	if binfmt.Try(ctx, arch) != nil {
		err := binfmt.Register(ctx, arch)
		if err == nil {
			err = binfmt.Try(ctx, arch)
		}
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, binfmt.ErrNoEmulator):
			return e.WithRemedy(remedy.Emulator(binfmt.Emulator(arch)))
		case errors.Is(err, fs.ErrPermission), errors.Is(err, errors.ErrUnsupported):
			// Before Linux 6.7, or with a security module that has something against it.
			return e.WithRemedy(remedy.Binfmt())
		default:
			e.Msg += ": " + view.Safe(err.Error())
			return e
		}
	}
	if s.emulation.runs == nil {
		s.emulation.runs = map[string]bool{}
	}
	s.emulation.runs[arch] = true
	return nil
}

// emulate sees to it that the programs of an image can be executed. That they cannot is
// an error if the user has asked for the platform; else it is said, as Docker does: what
// an image says of itself may be wrong.
func (c *conversation) emulate(img *image.Image, asked bool) error {
	if foreign(img) == "" {
		return nil
	}
	err := c.s.Runs(c.ctx, img.OS, img.Architecture)
	var e *api.Error
	if err == nil || asked || !errors.As(err, &e) {
		return err
	}
	return c.complain(e)
}

// foreign is the architecture of an image if it is not that of the host, and Linux's.
func foreign(img *image.Image) string {
	if img.Architecture == runtime.GOARCH || img.OS != runtime.GOOS {
		return ""
	}
	return img.Architecture
}

// emulateAgain does so for a sandbox that is started again, perhaps after the machine.
func (s *Supervisor) emulateAgain(c *api.Config) {
	if c.Architecture == "" {
		return
	}
	if err := s.Runs(s.ctx, runtime.GOOS, c.Architecture); err != nil {
		s.Log.Warn("start", "id", shortID(c.ID), "error", err)
	}
}
