package main

import (
	"errors"
	"os"
	"slices"
	"strings"

	"sbx/api"
)

// setOptions reads the options of -v, for a bind or a volume. What the words mean that
// are kept is up to the one who mounts; the others mean what is the case anyway.
func setOptions(m *api.Mount, words []string) error {
	var keep []string
	for _, word := range words {
		switch word {
		case "ro", "rro", "readonly":
			m.ReadOnly = true
		case "rw":
			m.ReadOnly = false
		case "nocopy":
			if m.Type != api.MountVolume {
				return errors.New("the option nocopy is for volumes: a bind is never filled")
			}
			m.Volume.NoCopy = true
		case "", "copy", "exec", "nosuid", "nodev", "private", "rprivate", "rbind", "cached", "delegated", "consistent", "default":
		case "z", "Z", "shared-label", "private-label":
			if err := relabel(word); err != nil {
				return err
			}
		case "bind":
			keep = append(keep, api.OptFlat)
		case api.OptNoExec, api.OptSuid, api.OptDev, api.OptFlat, api.OptWritable, api.OptChown:
			keep = append(keep, word)
		case api.OptSlave, api.OptRslave:
			if err := checkSlave(m); err != nil {
				return err
			}
			keep = append(keep, word)
		case api.OptOverlay:
			if err := checkOverlay(m); err != nil {
				return err
			}
			keep = append(keep, word)
		default:
			return optionError(word)
		}
	}
	switch follows := slices.Contains(keep, api.OptSlave) || slices.Contains(keep, api.OptRslave); {
	case m.ReadOnly && follows:
		return errors.New("what the host mounts there later would not be read-only: leave out ro, or slave")
	case m.ReadOnly && slices.Contains(keep, api.OptChown):
		return errors.New("the option U changes files, and ro keeps them as they are: give one of both")
	case follows && slices.Contains(keep, api.OptOverlay):
		return errors.New("an overlay does not show what the host mounts there later: leave out O, or slave")
	case !m.ReadOnly && slices.Contains(keep, api.OptWritable):
		return errors.New("the option writable is for a bind that is read-only")
	}
	m.Options = strings.Join(keep, ",")
	if slices.Contains(keep, api.OptChown) && !slices.Contains(keep, api.OptOverlay) {
		return checkChown(m)
	}
	return nil
}

func optionError(word string) error {
	key, _, _ := strings.Cut(word, "=")
	switch key {
	case "upperdir", "workdir":
		return errors.New("what is written to an overlay goes with the sandbox: leave out " + key + ", or bind a copy")
	case "create-src":
		return errors.New("sbx makes nothing on the host: create the source first, for example with mkdir")
	case "shared", "rshared":
		return errors.New("a sandbox cannot mount on the host, so the option " + word + " has no meaning: use rslave")
	case "unbindable", "runbindable":
		return errors.New("nothing is shared with the sandbox that it could bind elsewhere on the host, so the option " + word + " has no meaning: leave it out")
	case "idmap":
		return errors.New("only root may map the ids of a mount: see the option U")
	}
	return errors.New("unknown option " + quote(word) + ": expected ro, rw, nocopy, noexec, suid, dev, rslave, nonrecursive, z, U or O")
}

// relabel is SELinux's: on a host without it there is nothing to do.
func relabel(word string) error {
	if on, err := os.ReadFile("/sys/fs/selinux/enforce"); err == nil && strings.TrimSpace(string(on)) == "1" {
		return errors.New("SELinux is enforcing, and sbx does not relabel the host's files (" + word + "): use chcon -Rt container_file_t")
	}
	return nil
}

// checkSlave wants a source that can be heard of: a mount that the host has made shared,
// or a slave of such a one.
func checkSlave(m *api.Mount) error {
	if m.Type == api.MountVolume {
		return errors.New("nothing is mounted in a volume: leave out slave")
	}
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	at, heard := "", false
	for line := range strings.Lines(string(text)) {
		// proc_pid_mountinfo(5): the fifth field is the place, optional ones follow the
		// sixth up to a dash.
		before, _, _ := strings.Cut(line, " - ")
		fields := strings.Fields(before)
		if len(fields) < 6 || len(fields[4]) < len(at) || !within(m.Source, fields[4]) {
			continue
		}
		at = fields[4]
		heard = slices.ContainsFunc(fields[6:], func(f string) bool {
			return strings.HasPrefix(f, "shared:") || strings.HasPrefix(f, "master:")
		})
	}
	if !heard {
		return errors.New("the mount at " + quote(at) + " is private: nothing that is mounted there later is seen elsewhere")
	}
	return nil
}

// checkOverlay wants a directory: the kernel has no overlay of a file.
func checkOverlay(m *api.Mount) error {
	if m.Type != api.MountBind {
		return nil
	}
	if st, err := os.Stat(m.Source); err == nil && !st.IsDir() {
		return errors.New("the option O is for directories: bind the one that the file is in, or use ro")
	}
	return nil
}

func within(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// checkChown keeps a slip from giving away all that the user has.
func checkChown(m *api.Mount) error {
	home := os.Getenv("HOME")
	if m.Type == api.MountBind && home != "" && within(home, m.Source) {
		return errors.New("the option U would give away your home directory: name a directory in it")
	}
	return nil
}
