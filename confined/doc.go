// Package confined runs a program of the host where no user namespaces can be made,
// and with them no sandbox: Landlock and seccomp keep it from the user's files, network
// and processes, as far as they can. It knows no images, and whatever it cannot do is
// an error, never left out.
//
// The process that calls Run stays outside, as the program's parent: it relays what a
// terminal must not be handed in for, sets modes and times of files for the program
// (attributes.go), and ends what the program leaves running.
package confined
