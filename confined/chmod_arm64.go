package confined

// Arm has no chmod(2) of its own, only fchmodat(2).
const sysChmod = -1
