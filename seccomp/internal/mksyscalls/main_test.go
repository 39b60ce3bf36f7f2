package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

func TestTablesAreCurrent(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64"} {
		src, err := source(arch)
		if err != nil {
			t.Fatal(err)
		}
		want, err := table(arch, src)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile("../../syscalls_" + arch + ".go")
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("syscalls_%s.go is not what golang.org/x/sys has: run go generate ./seccomp", arch)
		}
	}
}

// A source in another format must not become an empty table, with which every
// profile would lose its rules.
func TestTableRefusesOtherSource(t *testing.T) {
	src := "package unix\n\nconst (\n\tSYS_READ = iota\n\tSYS_WRITE\n\tSYS_OPEN = 2\n)\n"
	if _, err := table("amd64", []byte(src)); err == nil || !strings.Contains(err.Error(), "1 constants") {
		t.Errorf("error %v, want one about 1 constant", err)
	}
}
