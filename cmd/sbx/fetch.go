package main

import (
	"github.com/spf13/pflag"

	"sbx/api"
)

// fetchFlags say whether and how run and create get an image.
type fetchFlags struct {
	pull, platform string
	quiet          bool
	trust          trustFlag
	reachFlags
}

func (f *fetchFlags) add(fs *pflag.FlagSet) {
	fs.StringVar(&f.pull, "pull", api.PullMissing, "get the image: `always|missing|newer|never`")
	fs.StringVar(&f.platform, "platform", "", "`OS/ARCH[/VARIANT]` of the image (default: this machine's)")
	fs.BoolVarP(&f.quiet, "quiet", "q", false, "show no progress of the pull")
	f.trust.add(fs)
	f.addPulling(fs)
}

// fetch makes the api's Fetch. An image that is not pulled needs none.
func (f *fetchFlags) fetch(s streams, fs *pflag.FlagSet, spec api.Spec) (api.Fetch, error) {
	if err := f.trust.check(); err != nil {
		return api.Fetch{}, err
	}
	switch {
	case spec.Image == api.HostImage && f.platform != "":
		return api.Fetch{}, &flagError{"--platform: the image host is this machine's own"}
	case spec.Image == api.HostImage, spec.Pull == api.PullNever:
		return api.Fetch{Platform: f.platform}, nil
	}
	reach, err := f.reach(s, fs)
	return api.Fetch{Platform: f.platform, Quiet: f.quiet, Reach: reach}, err
}

// checkPull checks a pull policy.
func checkPull(flag, policy string) error {
	switch policy {
	case api.PullAlways, api.PullMissing, api.PullNewer, api.PullNever:
		return nil
	}
	return invalid(flag, policy, "expected always, missing, newer or never")
}

// trustFlag is Docker's --disable-content-trust, whose default is true.
type trustFlag struct{ off bool }

func (t *trustFlag) add(fs *pflag.FlagSet) {
	fs.BoolVar(&t.off, "disable-content-trust", true, "true is all there is: sbx does not have Docker's content trust")
}

func (t *trustFlag) check() error {
	if t.off {
		return nil
	}
	return refused("--disable-content-trust=false", "sbx does not have Docker's content trust; signatures are what --signature-policy is for")
}
