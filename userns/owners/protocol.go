package owners

import "encoding/binary"

// The protocol of /dev/fuse, include/uapi/linux/fuse.h: what of it a read-only file
// system without open files needs. All numbers are in the machine's order.

var native = binary.NativeEndian

const (
	versionMajor = 7
	versionMinor = 31 // Linux 5.4
)

// Operations.
const (
	opLookup      = 1
	opForget      = 2
	opGetattr     = 3
	opReadlink    = 5
	opRead        = 15
	opStatfs      = 17
	opGetxattr    = 22
	opListxattr   = 23
	opInit        = 26
	opReaddir     = 28
	opDestroy     = 38
	opBatchForget = 42
	opLseek       = 46
)

// Flags of INIT.
const (
	asyncRead     = 1 << 0
	noOpen        = 1 << 17 // ENOSYS to OPEN means that there is no need to ask
	parallelDirs  = 1 << 18
	maxPages      = 1 << 22
	cacheSymlinks = 1 << 23
	noOpendir     = 1 << 24
)

const (
	inHeaderSize  = 40
	outHeaderSize = 16
	direntSize    = 24 // without the name
	// requestSize is the least that the kernel accepts for a read of the device,
	// FUSE_MIN_READ_BUFFER, with room for the longest name.
	requestSize = 16 << 10
	mostPages   = 256 // of one READ
	rootNode    = 1
	forEver     = 1 << 40 // seconds
)

// request is what the kernel asks.
type request struct {
	op     uint32
	unique uint64
	node   uint64
	body   []byte
}

// parse takes a packet apart; false: it is none.
func parse(packet []byte) (request, bool) {
	if len(packet) < inHeaderSize || int(native.Uint32(packet)) != len(packet) {
		return request{}, false
	}
	return request{
		op: native.Uint32(packet[4:]), unique: native.Uint64(packet[8:]), node: native.Uint64(packet[16:]),
		body: packet[inHeaderSize:],
	}, true
}

// name is the body's zero-terminated string that starts at.
func (r *request) name(at int) (string, bool) {
	for i := at; i < len(r.body); i++ {
		if r.body[i] == 0 {
			return string(r.body[at:i]), i > at
		}
	}
	return "", false
}

func (r *request) uint32(at int) uint32 {
	if len(r.body) < at+4 {
		return 0
	}
	return native.Uint32(r.body[at:])
}

func (r *request) uint64(at int) uint64 {
	if len(r.body) < at+8 {
		return 0
	}
	return native.Uint64(r.body[at:])
}

// reply begins an answer, whose header finish fills in.
func reply(buf []byte) []byte {
	return append(buf[:0], make([]byte, outHeaderSize)...)
}

func finish(out []byte, unique uint64, errno int32) []byte {
	native.PutUint32(out, uint32(len(out)))
	native.PutUint32(out[4:], uint32(-errno))
	native.PutUint64(out[8:], unique)
	return out
}

// initReply is struct fuse_init_out for what the kernel offers.
func initReply(out []byte, r *request) []byte {
	const wanted = asyncRead | noOpen | parallelDirs | maxPages | cacheSymlinks | noOpendir
	out = native.AppendUint32(out, versionMajor)
	out = native.AppendUint32(out, versionMinor)
	out = native.AppendUint32(out, r.uint32(8)) // readahead, as the kernel likes it
	out = native.AppendUint32(out, r.uint32(12)&wanted)
	out = native.AppendUint16(out, 64)    // requests in the background
	out = native.AppendUint16(out, 48)    // of them before it is congested
	out = native.AppendUint32(out, 4<<10) // of a write, of which there is none
	out = native.AppendUint32(out, 1)     // resolution of times, ns
	out = native.AppendUint16(out, mostPages)
	return append(out, make([]byte, 64-30)...)
}
