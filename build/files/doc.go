// Package files does what COPY and ADD of a Dockerfile say, by BuildKit's rules: what
// the words for sources and destination mean, what is left out, and what becomes of
// owners, modes and times.
//
// Source and destination are directories that are open. A source may be hostile, and
// may change while it is read: a path is resolved part by part, each part below the
// descriptor of the one before, symbolic links included, and what they say is taken
// as a path in the same root. So neither a link nor one that is swapped in during the
// copy leads out of the root, nor to what .dockerignore leaves out.
//
// A Copy has a digest of all that it would copy, which is the same as long as nothing
// that would be seen in the layer has changed: times are not in it.
package files
