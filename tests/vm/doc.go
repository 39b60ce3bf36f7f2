// Package vm tests sbx in a virtual machine with everything that a development
// machine or a container may lack: systemd as the first process, user managers, D-Bus,
// delegated cgroups, logins that end, reboots, users without subordinate ids.
//
// Its tests run outside and drive the machine with the program vm in this directory.
// They install sbx as `make install` does, and run the tests of the package above
// inside; what one user sees in one login belongs there. Here is what takes another
// user, root, a second login or a reboot.
//
// SBX_VM is a directory, made by `make check-vm`: root/ is to be unpacked at / of the
// machine, tests.test is the compiled package above. Without it the tests are skipped.
package vm
