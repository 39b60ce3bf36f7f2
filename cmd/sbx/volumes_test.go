package main

import (
	"strings"
	"testing"
)

// TestVolumeVerbs: what is asked of the supervisor.
func TestVolumeVerbs(t *testing.T) {
	h := newHome(t)
	h.fake(echoRequests)
	for words, want := range map[string]string{
		"volume create":                                             `volume create {}`,
		"volume create --label a=b -d local db":                     `volume create {"name":"db","labels":{"a":"b"}}`,
		"volume create -o type=none -o o=bind --opt device=/srv db": `volume create {"name":"db","options":{"device":"/srv","o":"bind","type":"none"}}`,
		"volume ls":                          `volume ls {}`,
		"volume list -q -f dangling=true":    `volume ls {"quiet":true,"filters":["dangling=true"]}`,
		"volume ls --format json":            `volume ls {"format":"json"}`,
		"volume inspect -f {{.Name}} a1 b1":  `volume inspect {"names":["a1","b1"],"format":"{{.Name}}"}`,
		"inspect --type volume a1":           `volume inspect {"names":["a1"]}`,
		"volume rm -f a1 b1":                 `volume rm {"names":["a1","b1"],"force":true}`,
		"volume remove a1":                   `volume rm {"names":["a1"]}`,
		"volume prune -af --filter label!=a": `volume prune {"all":true,"filters":["label!=a"]}`,
		"rm -fv box":                         `rm {"names":["box"],"force":true,"volumes":true}`,
	} {
		h.sbx(strings.Fields(words)...).want(t, result{out: want + "\n"})
	}
}
