// Package cp copies files and directories between a sandbox and the host, by the
// rules of docker cp: what the words for source and destination mean, how trees are
// merged, and what becomes of owners and modes.
//
// Both sides may be hostile, and may change while they are read: a program in the
// sandbox can swap a directory and a symbolic link as fast as it likes. A path is
// resolved once, by the kernel, with the sandbox's root as "/"; from there on the
// copy goes from one open directory to the next by single names, and follows no
// symbolic link (CVE-2018-15664, CVE-2019-10152, CVE-2019-14271).
//
// A file gets its name when it is whole: whoever is killed in the middle leaves no
// half of one.
package cp
