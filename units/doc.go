// Package units writes unit files of systemd: for the supervisor, for one sandbox,
// and for a Quadlet file (.container, podman-systemd.unit(5)). It is text only; who
// installs it is the command line.
package units
