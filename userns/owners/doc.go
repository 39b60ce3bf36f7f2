// Package owners shows a directory with other owners: a read-only FUSE file system
// in which the file of one id belongs to another. It stands in for the idmapped
// mounts of the kernel, which only the owner of the disk's file system may make:
// with the map of --userns keep-id the files of an image's root would seem to be
// the user's, since both are the same user on the disk.
//
//	supervisor                          kernel                 sbx-owners (Main)
//	Start: fork                  ------------------------->    waits
//	Show:  open /dev/fuse        ------------------------->    its descriptor, the directory
//	       mount                 --->   FUSE   <----------->   LOOKUP, READ, ...
//	overlay: lowerdir=the mount
//
// What is shown must not change while it is shown: everything is cached for ever, so
// that a file that has been read once costs no more than any other. Opening a file
// does not ask the process at all. It ends when the last mount of the file system, or
// of an overlay above it, has gone: nobody has to keep an account of who uses it.
//
// Imports little: it is part of the small binary.
package owners
