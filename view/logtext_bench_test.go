package view

import (
	"strings"
	"testing"
)

func BenchmarkLogText(b *testing.B) {
	text := []byte(strings.Repeat("[ 12%] \x1b[32mBuilding CXX object src/CMakeFiles/thing.dir/some/file.cpp.o\x1b[0m\n", 400))
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		var t logText
		t.add(text)
	}
}
