// Package build makes images of Dockerfiles.
//
// BuildKit's packages parse and check the file; the graph of its stages, the values
// of its arguments, what the instructions do, and the cache are made here. A RUN is a
// sandbox like any other one. What a step changes goes to a directory of its own, the
// upper one of an overlay, on which the next step stands at once; it becomes a layer
// of the image store while that one runs.
package build
