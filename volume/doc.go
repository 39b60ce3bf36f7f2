// Package volume keeps volumes: directories that belong to no sandbox, or to one as
// long as it exists, and that hold what is to outlive a root file system.
//
//	<dir>/NAME/_data         what sandboxes see
//	<dir>/NAME/volume.json   the rest: Volume
//	<dir>/NAME/fill          what the image has there, complete, and on its way to _data
//	<dir>/NAME/fill.new      the same, not complete yet
//	<dir>/.new-*, .gone-*    volumes that are being made or removed
//
// A volume comes into being, and goes, by a rename, and so does what it is filled
// with: whatever ends the process, Open finds a state that it can complete or clear.
package volume
