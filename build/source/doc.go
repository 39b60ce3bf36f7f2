// Package source gets what a build reads: its context, which is a directory, an
// archive, a git repository or a download, the Dockerfile, .dockerignore, and what ADD
// names by a URL.
//
// What does not come as a directory goes into a private one of its own, which is
// removed with the build. Archives and repositories may be hostile: nothing in them is
// executed, and no name or link leads out of the directory.
package source
