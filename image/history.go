package image

import "slices"

// Step is a line of the history of an image: what was done, and how many bytes
// the layer has that came of it.
type Step struct {
	History
	Size int64 // uncompressed
}

// Steps are the history of the image, the latest first. A layer that no entry
// tells of has one without words; an entry too many has no layer.
func (img Image) Steps() []Step {
	var steps []Step
	layers := img.LayerSizes
	for _, h := range img.History {
		step := Step{History: h}
		if !h.Empty && len(layers) > 0 {
			step.Size, layers = layers[0], layers[1:]
		}
		steps = append(steps, step)
	}
	for _, size := range layers {
		steps = append(steps, Step{Size: size})
	}
	slices.Reverse(steps)
	return steps
}
