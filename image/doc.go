// Package image keeps images in containers/storage, on the kernel's overlay, in
// the format podman and the containers libraries read: layers with tar-split's
// data beside them, the OCI configuration and manifest as big data, the
// configuration's digest as id.
//
// It runs inside the supervisor's user namespace, where uid 0 is the user and the
// subordinate ids follow. The supervisor is the only process that opens a store,
// so what images there are is kept in memory; finding one costs microseconds.
//
// A layer comes in by Stage, which unpacks it (docs/adr/0008):
//
//	r -> ahead -> decompress -> chunk -> sha256            (feed.go)
//	                              \--> stream: headers     (stream.go, entry.go)
//	                                     \--> unpacker: files (unpack.go, file.go, dirs.go)
//	                                     \--> splitter: all but the bodies (tarsplit.go)
//
// and becomes part of an image by Commit. OpenLayer gives it back byte for byte.
//
// An archive is hostile until shown otherwise (tar entries, compression bombs).
// Every header is checked before anything is made of it, and every name is walked
// by the kernel with the layer's directory as "/".
//
// Device nodes are skipped, as podman skips them: a user namespace cannot make
// them, and a sandbox gets its own /dev.
package image
