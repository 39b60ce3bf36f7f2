package binfmt

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"sbx/internal/sys"
)

// place is where every program looks for what is registered.
const place = "/proc/sys/fs/binfmt_misc"

// ours begins the names of what Register has registered.
const ours = "sbx-"

// flags of what is registered: the program finds its own name in argv[0] (P), and QEMU
// is opened here and now (F): a sandbox has none. Set-id bits do not count, as Debian
// has it too: who starts such a program tells QEMU by variables what to do.
const flags = "PF"

// ErrNoEmulator is that no QEMU is installed for a processor.
var ErrNoEmulator = errors.New("QEMU's user emulation is not installed")

// Register has the kernel execute programs for a processor, and for all others that
// QEMU is installed for, in this user namespace and those below it. What is registered
// further up counts no more, but is registered here as well. It lasts as long as the
// mount namespace. The kernel must be Linux 6.7: before, it is a PermissionError.
func Register(ctx context.Context, arch string) error {
	if path, _ := emulator(arch); path == "" {
		return ErrNoEmulator
	}
	return registerAll(ctx)
}

func registerAll(ctx context.Context) error {
	above, err := registered()
	if err != nil {
		return err
	}
	// All mounts of one user namespace are one instance.
	mount, err := sys.NewMount("binfmt_misc", sys.NOSUID|sys.NODEV|sys.NOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(mount)
	if !slices.ContainsFunc(above, isOurs) {
		if err := inherit(mount, above); err != nil {
			return err
		}
	}
	for arch, m := range machines {
		path, err := emulator(arch)
		// What is executed already is left alone: the programs of this processor, of which
		// QEMU is one, and what the host has registered.
		if path == "" || Try(ctx, arch) == nil {
			continue
		}
		magic, mask := m.magic()
		if err == nil {
			err = register(mount, ours+arch, "M", "0", quote(magic), quote(mask), path, flags)
		}
		if err != nil {
			return err
		}
	}
	return attach(mount)
}

// isOurs says whether a format has been registered by Register.
func isOurs(f format) bool { return strings.HasPrefix(f.name, ours) }

// attach keeps the instance, which goes with its last mount. Nobody can write to it by
// this mount, should a sandbox see it. Where it is there already nothing is done.
func attach(mount int) error {
	now, err := registered()
	if err != nil || slices.ContainsFunc(now, isOurs) {
		return err
	}
	if err := sys.SetAttr(mount, unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC, false); err != nil {
		return err
	}
	return sys.AttachAt(mount, unix.AT_FDCWD, place)
}

// register writes one format. That it is there already is no error.
func register(mount int, fields ...string) error {
	fd, err := unix.Openat(mount, "register", unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: place + "/register", Err: err}
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, []byte(":"+strings.Join(fields, ":"))); err != nil && err != unix.EEXIST {
		return fmt.Errorf("register %s: %w", fields[0], err)
	}
	return nil
}

// quote writes bytes as the kernel reads them.
func quote(b []byte) string {
	var s strings.Builder
	for _, c := range b {
		fmt.Fprintf(&s, `\x%02x`, c)
	}
	return s.String()
}

// dirs is where distributions install QEMU. A user's own directories do not count.
var dirs = []string{"/usr/bin", "/usr/local/bin"}

// Emulator is the name of the QEMU for a processor, one of Known.
func Emulator(arch string) string { return "qemu-" + machines[arch].qemu }

// emulator is the path of the QEMU for a processor; empty: there is none. One that needs
// libraries is none: it would have to find them in each sandbox.
func emulator(arch string) (string, error) {
	if !Known(arch) {
		return "", nil
	}
	for _, dir := range dirs {
		for _, suffix := range []string{"-static", ""} {
			path := filepath.Join(dir, Emulator(arch)+suffix)
			usable, err := isUsable(path)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if usable || err != nil {
				return path, err
			}
		}
	}
	return "", nil
}

// isUsable says that a program needs no libraries, and that nobody can change it but its
// owner: it becomes a part of all that it executes.
func isUsable(path string) (bool, error) {
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm()&0o022 != 0 {
		return false, err
	}
	f, err := elf.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	return !slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }), nil
}

// format is something that is registered.
type format struct {
	name, interpreter, flags       string
	offset, magic, mask, extension string
}

// registered lists what counts here and is enabled.
func registered() ([]format, error) {
	entries, err := os.ReadDir(place)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // the kernel has it as a module that is not loaded
	}
	if err != nil {
		return nil, err
	}
	var list []format
	for _, e := range entries {
		if e.Name() == "register" || e.Name() == "status" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(place, e.Name()))
		if err != nil {
			return nil, err
		}
		if f, ok := parse(e.Name(), text); ok {
			list = append(list, f)
		}
	}
	return list, nil
}

// parse reads what the kernel says of a format; one that is disabled is none.
func parse(name string, text []byte) (format, bool) {
	first, rest, _ := bytes.Cut(text, []byte("\n"))
	f := format{name: name}
	for line := range strings.Lines(string(rest)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch key {
		case "interpreter":
			f.interpreter = value
		case "flags:":
			f.flags = value
		case "offset":
			f.offset = value
		case "magic":
			f.magic = value
		case "mask":
			f.mask = value
		case "extension":
			f.extension = strings.TrimPrefix(value, ".")
		}
	}
	return f, string(first) == "enabled" && f.interpreter != ""
}

// inherit registers again what is registered further up, which would be hidden. An
// interpreter that is not there any more could not be started either.
func inherit(mount int, above []format) error {
	hex := func(s string) string {
		var b strings.Builder
		for i := 0; i+1 < len(s); i += 2 {
			b.WriteString(`\x` + s[i:i+2])
		}
		return b.String()
	}
	for _, f := range above {
		kind, what, mask := "M", hex(f.magic), hex(f.mask)
		if f.extension != "" {
			kind, what, mask = "E", f.extension, ""
		}
		if err := register(mount, f.name, kind, f.offset, what, mask, f.interpreter, f.flags); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
