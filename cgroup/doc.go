// Package cgroup limits what sandboxes use, measures it, and freezes and kills
// them as a whole, with cgroup v2.
//
// All sandboxes of a user live below one directory of the cgroup file system, the
// Home, which package delegate gets from systemd, once per start of sbxd:
//
//	.../app.slice/sbx-1a2b3c4d.scope      Home.Path; ours to divide
//	    sbx                               sbxd, keeper, supervisor, monitors
//	    4bf5122f344554c53bde2ebb8cd2b7e3  Group: a sandbox; clone(2) puts it there
//	    batch/night/9a1c...               a sandbox with --cgroup-parent batch/night
//
// A cgroup with limits for its children has no processes of its own, hence the
// leaf for ours (cgroups(7), "no internal processes").
//
// The files are the user's, so whoever is uid 0 of the user's namespace can write
// them: the supervisor needs nobody to help.
package cgroup
