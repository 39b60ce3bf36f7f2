// Package transfer moves images between the store and the outside: registries,
// archives, OCI layouts. It runs in the supervisor.
//
// The protocols are those of go.podman.io/image (docker://, dir:, registries.conf,
// credentials, signature policies). The moving itself is done here, because a layer
// is to be downloaded, verified, decompressed and unpacked in one pass, several at
// once, without a temporary file for it:
//
//	registry -> verifier (sha256, size, progress) -> image.Store.Stage
//
// What comes from outside is hostile until its digest has been checked, and what
// a manifest says is checked against its own parts: the number of layers, their
// sizes, the digests before and after decompression. Text of a registry is made
// printable before a user sees it.
package transfer
