package transfer

import (
	"context"
	"errors"

	"go.podman.io/image/v5/signature"
	"go.podman.io/image/v5/types"

	"sbx/api"
)

// policy says which images may come in: policy.json(5). The zero value lets all in.
type policy struct{ file string }

// findPolicy takes the first of: what the user named, the user's, the system's.
func findPolicy(reach api.Reach) policy {
	if reach.Policy != "" {
		return policy{reach.Policy}
	}
	return policy{firstThere(config("policy.json"), "/etc/containers/policy.json")}
}

// check returns an error unless the policy lets img in. It reads the manifest, and
// signatures if the policy wants any.
func (p policy) check(ctx context.Context, img types.UnparsedImage) (err error) {
	rules := &signature.Policy{Default: signature.PolicyRequirements{signature.NewPRInsecureAcceptAnything()}}
	if p.file != "" {
		if rules, err = signature.NewPolicyFromFile(p.file); err != nil {
			return api.Wrap("read signature policy", p.file, errors.New(clean(err.Error())))
		}
	}
	pc, err := signature.NewPolicyContext(rules)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pc.Destroy()) }()
	allowed, err := pc.IsRunningImageAllowed(ctx, img)
	var refused signature.PolicyRequirementError
	switch {
	case errors.As(err, &refused):
		return p.refuse(refused.Error())
	case err != nil:
		return err
	case !allowed:
		return p.refuse("no rule lets it in")
	}
	return nil
}

func (p policy) refuse(why string) error {
	return api.Errorf("check signatures", p.file, "the policy refuses the image: %s", clean(why)).
		WithHint("take an image that is signed as the policy says, or change the policy")
}
