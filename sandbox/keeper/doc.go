// Package keeper is the process that holds everything of one user together: the
// user and mount namespaces, the network namespace, the listening socket and the
// executable that sandboxes start from. It starts the supervisor and starts it
// again when it crashes, and is the parent of every monitor whose supervisor has
// died. It does nothing else, so that nothing else can go wrong in it.
//
//	sbxd parent       rootlesskit's parent, host namespaces
//	  sbxd child      rootlesskit's child, the new user and mount namespaces
//	    sbx-keeper    this package
//	      sbxd supervisor      fd 3: listening socket, fd 4: sealed executable
//	      sbx-monitor ...      after their supervisor's death
//
// It is part of the small binary, which it copies for the sandboxes.
package keeper
