// Package fuseoverlay finds out whether the kernel's overlay file system can be used,
// mounts fuse-overlayfs where it cannot, and knows what the upper directory of either
// means: how it marks what is deleted, and what has changed against the layers below.
//
// The kernel's overlays are mounted with userxattr, the only ones that a user
// namespace can mount. That switches metadata-only copies and redirected directories
// off, so that there are no other marks than those known here.
// https://docs.kernel.org/filesystems/overlayfs.html, fuse-overlayfs(1)
//
// What is in an upper directory is a program's choice. Nothing here follows a
// symbolic link, and nothing but directories is opened.
package fuseoverlay
