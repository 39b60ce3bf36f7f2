package main

import (
	"errors"
	"os"
	"os/signal"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// output reads --output and opens what the result goes to.
func (p *parcel) output(s streams, o *buildFlags) error {
	if len(o.outputs) > 1 {
		return refused("more than one --output", "sbx writes one result")
	}
	for _, text := range o.outputs {
		kind, dest, err := o.parseOutput(text)
		if err != nil {
			return err
		}
		if err := p.destination(s, o, kind, dest); err != nil {
			return err
		}
	}
	if o.push && len(o.Tags) == 0 {
		return &flagError{"--push: the image needs a name: give -t"}
	}
	if o.push && o.Output.Type != "" {
		return &flagError{"--push: there is no image with --output type=" + o.Output.Type}
	}
	return nil
}

// parseOutput reads DIR, -, or type=...,dest=... .
func (o *buildFlags) parseOutput(text string) (kind, dest string, err error) {
	if text == "-" {
		return api.OutputTar, text, nil
	}
	if !strings.Contains(text, "=") {
		return api.OutputLocal, text, nil
	}
	fields, ok := splitCSV(text)
	for _, field := range fields {
		key, value, _ := strings.Cut(field, "=")
		switch key {
		case "type":
			kind = value
		case "dest":
			dest = value
		case "name":
			o.Tags = append(o.Tags, value)
		case "push":
			if o.push, err = strconv.ParseBool(value); err != nil {
				ok = false
			}
		default:
			return "", "", refused("--output "+key, "it takes type, dest, name and push")
		}
	}
	if kind == "registry" {
		kind, o.push = "image", true
	}
	if !ok || kind == "" {
		return "", "", invalid("--output", text, "expected DIR, - or type=TYPE[,dest=PATH]")
	}
	return kind, dest, nil
}

// destination opens a directory or a file for a kind of output.
func (p *parcel) destination(s streams, o *buildFlags, kind, dest string) error {
	switch kind {
	case "image":
		if dest == "" {
			return nil
		}
		return invalid("--output", "type=image,dest="+dest, "an image goes to the store")
	case api.OutputDocker:
		if dest == "" {
			return nil // docker's way of asking for an image here
		}
	case api.OutputLocal, api.OutputTar, api.OutputOCI:
		if dest == "" {
			return invalid("--output", "type="+kind, "dest=PATH is missing")
		}
	default:
		return refused("--output type="+kind, "sbx knows local, tar, oci, docker, image and registry")
	}
	o.Output.Type = kind
	if kind == api.OutputLocal {
		if err := os.MkdirAll(dest, 0o755); err != nil {
			return api.Wrap("make the directory", dest, errors.Unwrap(err))
		}
		return p.open(dest, unix.O_PATH|unix.O_DIRECTORY)
	}
	if dest != "-" {
		return p.create(dest)
	}
	if isTerminal(s.out) {
		return &flagError{"--output: standard output is a terminal: use a pipe or dest=FILE"}
	}
	p.toStdout = true
	p.files = append(p.files, s.out)
	return nil
}

// create adds a file that the supervisor fills.
func (p *parcel) create(path string) error {
	out, err := createOutFile(path)
	if err != nil {
		return err
	}
	p.outs = append(p.outs, out)
	p.files = append(p.files, out.f)
	return nil
}

func (p *parcel) metadata(o *buildFlags) error {
	if o.metadata == "" {
		return nil
	}
	o.Metadata = true
	return p.create(o.metadata)
}

// keep gives the files that were made their names.
func (p *parcel) keep() error {
	for _, out := range p.outs {
		if err := out.keep(); err != nil {
			return err
		}
	}
	return nil
}

// close closes all, and removes the files that were not kept. Those of the caller's
// that are among them were not to be used again either.
func (p *parcel) close() {
	for _, out := range p.outs {
		out.drop()
	}
	for _, f := range p.files {
		f.Close()
	}
}

// watchSize tells the supervisor when the terminal has another size than it knows.
func watchSize(s streams, conn *api.Conn, known api.Size) (stop func()) {
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, unix.SIGWINCH)
	go func() {
		for more := true; more; _, more = <-ch {
			if size := windowSize(s); size != known {
				known = size
				// A build that is over takes none.
				_ = conn.TrySend(api.KindResize, size)
			}
		}
	}()
	return func() {
		signal.Stop(ch)
		close(ch)
	}
}
