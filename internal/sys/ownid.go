package sys

// OwnCall is the fourth argument of setresuid(2) and setresgid(2), which take three,
// of who really means to change its ids: a filter that answers these calls without
// doing anything (seccomp.CompileSingle) lets this one reach the kernel.
const OwnCall uint64 = 0x5b78_0e11_73a9_c2d4
