package view

import (
	"encoding/json"
	"fmt"
	"strings"
)

// BuildMetadata is what build --metadata-file says, by BuildKit's names: the digests
// of the configuration, which is the image's id, and of the manifest, if there is one,
// and the names of the image.
func BuildMetadata(config, manifest string, names []string) string {
	facts := map[string]string{"containerimage.config.digest": config}
	if manifest != "" {
		facts["containerimage.digest"] = manifest
	}
	if len(names) > 0 {
		facts["image.name"] = strings.Join(names, ",")
	}
	text, err := json.MarshalIndent(facts, "", "  ")
	if err != nil {
		// Strings always have a JSON form.
		panic(fmt.Sprintf("the metadata of a build: %v", err))
	}
	return string(text) + "\n"
}
