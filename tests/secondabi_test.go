package tests

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// A program of the processor's other ABI, which the filter of sandboxes has no system
// calls of: it is emulated where QEMU is there, like those of any other processor.
func TestBuildSecondABI(t *testing.T) {
	t.Parallel()
	if runtime.GOARCH != "amd64" {
		t.Skip("the program is one for 386")
	}
	Need(t, "emulation")
	e := Sbx(t)
	dir := e.contextOf("context", "Dockerfile", "FROM scratch\nCOPY tell /\nRUN [\"/tell\"]\nENTRYPOINT [\"/tell\"]\n")
	if err := os.WriteFile(filepath.Join(dir, "tell"), program386("from the 80386\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if r := e.build(dir, "--platform", "linux/386", "-t", "small"); r.Code != 0 || !strings.Contains(r.Err, "from the 80386") {
		t.Errorf("build: status %d\n%s", r.Code, r.Err)
	}
	e.Is("from the 80386", "run", "--rm", "small")
}

// program386 says words, by system calls of the 80386 alone.
func program386(words string) []byte {
	const base, headers = 0x08048000, 52 + 32 // ELF and program header, elf(5)
	code := []byte{
		0xb8, 4, 0, 0, 0, // mov eax, __NR_write
		0xbb, 1, 0, 0, 0, // mov ebx, 1
		0xb9, 0, 0, 0, 0, // mov ecx, words
		0xba, byte(len(words)), 0, 0, 0, // mov edx, their number
		0xcd, 0x80, // int 0x80
		0xb8, 1, 0, 0, 0, // mov eax, __NR_exit
		0x31, 0xdb, // xor ebx, ebx
		0xcd, 0x80,
	}
	size := uint32(headers + len(code) + len(words))
	binary.LittleEndian.PutUint32(code[11:], base+headers+uint32(len(code)))
	var b bytes.Buffer
	b.WriteString("\x7fELF\x01\x01\x01")
	b.Write(make([]byte, 9))
	for _, part := range []any{
		[]uint16{2, 3}, []uint32{1, base + headers, 52, 0, 0}, []uint16{52, 32, 1, 0, 0, 0}, // ET_EXEC, EM_386
		[]uint32{1, 0, base, base, size, size, 5, 0x1000}, // PT_LOAD, read and execute
	} {
		// Into memory: it has no errors.
		_ = binary.Write(&b, binary.LittleEndian, part)
	}
	b.Write(code)
	b.WriteString(words)
	return b.Bytes()
}
