package main

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// maxSecret is BuildKit's, in bytes.
const maxSecret = 500 << 10

// secret is one --secret: where its value is.
type secret struct{ id, file, env string }

// secrets reads --secret and opens the values.
func (p *parcel) secrets(o *buildFlags) error {
	for _, text := range o.secrets {
		it, ok := parseSecret(text)
		if !ok {
			return invalid("--secret", text, "expected id=NAME,src=FILE or id=NAME,env=VARIABLE")
		}
		var err error
		if it.env != "" {
			err = p.variable(it.env)
		} else if err = p.open(it.file, os.O_RDONLY); err == nil {
			err = checkSecret(p.files[len(p.files)-1])
		}
		if err != nil {
			return err
		}
		o.Secrets = append(o.Secrets, api.BuildSecret{ID: it.id})
	}
	return nil
}

// parseSecret reads id=NAME with src=FILE or env=VARIABLE. Alone, the name is that of
// a variable, or else of a file.
func parseSecret(text string) (secret, bool) {
	var it secret
	kind := ""
	fields, ok := splitCSV(text)
	for _, field := range fields {
		key, value, _ := strings.Cut(field, "=")
		switch strings.ToLower(key) {
		case "id":
			it.id = value
		case "src", "source":
			it.file = value
		case "env":
			it.env = value
		case "type":
			kind = value
		default:
			return it, false
		}
	}
	switch {
	case it.env == "" && kind == "env":
		it.env, it.file = it.file, "" // src may name the variable
		if it.env == "" {
			it.env = it.id
		}
	case it.env == "" && it.file == "":
		it.file = it.id
		if _, set := os.LookupEnv(it.id); set && kind == "" {
			it.env, it.file = it.id, ""
		}
	}
	known := kind == "" || kind == "file" && it.env == "" || kind == "env" && it.file == ""
	return it, ok && known && it.id != "" && (it.env == "" || it.file == "")
}

// variable adds a file in memory with the value of a variable. The value is in no
// argument and in no packet, which might be logged.
func (p *parcel) variable(name string) error {
	value, set := os.LookupEnv(name)
	if !set {
		return &flagError{"--secret: the variable " + name + " is not set"}
	}
	fd, err := unix.MemfdCreate("secret", unix.MFD_CLOEXEC)
	if err != nil {
		return api.Wrap("memfd_create", "", err)
	}
	f := os.NewFile(uintptr(fd), "secret")
	p.files = append(p.files, f)
	if _, err = f.WriteString(value); err == nil {
		_, err = f.Seek(0, 0)
	}
	if err != nil {
		return api.Wrap("keep the secret of", name, err)
	}
	return checkSecret(f)
}

func checkSecret(f *os.File) error {
	st, err := f.Stat()
	switch {
	case err != nil:
	case st.IsDir():
		err = errors.New("it is a directory")
	case st.Size() > maxSecret:
		err = errors.New("larger than 500 KiB, the most for a secret")
	}
	if err != nil {
		return api.Wrap("read the secret", f.Name(), err)
	}
	return nil
}

// keys opens the private keys of --ssh.
func (p *parcel) keys(o *buildFlags) error {
	for _, it := range o.SSH {
		for _, path := range it.Keys {
			if err := p.open(path, os.O_RDONLY); err != nil {
				return err
			}
		}
	}
	return nil
}
