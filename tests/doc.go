// Package tests runs the real sbx and sbxd, as an unprivileged user, and holds
// the rules of the source tree that a compiler does not check.
//
// SBX_BIN is a directory with both programs; without it they are built.
// SBX_TEST_ROOTFS and SBX_TEST_BUSYBOX are archives made by contrib/testroots.
// SBX_PATIENCE is for slow machines: how long to wait for what must happen, as 2m.
// SBX_MUST names the features that may not be missing: see Need.
package tests
