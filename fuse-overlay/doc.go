// Package fuseoverlay knows what the upper directory of an overlay file system
// means: how it marks what is deleted, and what has changed against the layers
// below.
//
// The marks are those of the kernel for overlays mounted with userxattr, the only
// ones that a user namespace can mount. It never makes others for sbx: userxattr
// switches metadata-only copies and redirected directories off.
// https://docs.kernel.org/filesystems/overlayfs.html
//
// What is in an upper directory is a program's choice. Nothing here follows a
// symbolic link, and nothing but directories is opened.
package fuseoverlay
