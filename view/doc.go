// Package view turns facts about sandboxes and images into the text that the command line
// prints: Docker's tables, Docker's JSON, and Go templates over both.
//
// The supervisor renders, so that text/template and regexp stay out of the
// command line. Whatever came from an image or a user is made harmless for a
// terminal on the way out (Safe).
package view
