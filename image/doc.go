// Package image keeps images in containers/storage, on the kernel's overlay, in
// the format podman and the containers libraries read: layers by PutLayer, the
// OCI configuration and manifest as big data, the configuration's digest as id.
//
// It runs inside the supervisor's user namespace, where uid 0 is the user and the
// subordinate ids follow. The supervisor is the only process that opens a store,
// so what images there are is kept in memory; finding one costs microseconds.
//
// An archive is hostile until shown otherwise (tar entries, compression bombs).
// Every header is checked on its way to the storage library, which unpacks in a
// chroot of its own. What the checks do not know, such as a hard link to a file
// that is not there, the library refuses.
//
// Device nodes are skipped, as podman skips them: a user namespace cannot make
// them, and a sandbox gets its own /dev.
package image
