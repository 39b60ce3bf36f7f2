package seccomp

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// Compile turns a profile in Docker's JSON format into a program for seccomp(2):
// an array of struct sock_filter in native byte order, 8 bytes an instruction.
// An empty profile is moby's default profile.
//
// caps are the names of the bounding capabilities ("CAP_CHOWN") of the process
// that the program is for; profiles allow more calls to a process that has more.
//
// The error is one line and names the place in the profile. A profile that needs
// more than the kernel's 4096 instructions is an error too.
func Compile(profile []byte, caps []string) ([]byte, error) {
	return compile(profile, caps, func(*policy) {})
}

// encodeProgram writes instructions as the kernel reads them.
func encodeProgram(code []unix.SockFilter) ([]byte, error) {
	if len(code) > unix.BPF_MAXINSNS {
		return nil, fmt.Errorf("seccomp profile: needs %d BPF instructions, the kernel takes %d: use fewer rules with arguments",
			len(code), unix.BPF_MAXINSNS)
	}
	out := make([]byte, 0, 8*len(code))
	for _, ins := range code {
		out = binary.NativeEndian.AppendUint16(out, ins.Code)
		out = append(out, ins.Jt, ins.Jf)
		out = binary.NativeEndian.AppendUint32(out, ins.K)
	}
	return out, nil
}
