// Package tests runs the real sbx and sbxd, as an unprivileged user, and holds
// the rules of the source tree that a compiler does not check.
//
// SBX_BIN is a directory with both programs; without it they are built.
// SBX_TEST_ROOTFS, SBX_TEST_BUSYBOX and SBX_TEST_PYTHON are archives and SBX_TEST_WHEELS
// a directory that contrib/testroots makes.
// SBX_PATIENCE is for slow machines: how long to wait for what must happen, as 2m.
// SBX_MUST names the features that may not be missing: see Need.
package tests
