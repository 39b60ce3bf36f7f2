package remedy

import "sbx/api"

// Emulator is for QEMU's user emulation, of which the program is called name. On Linux
// 6.7 it is enough that it is there.
func Emulator(name string) api.Remedy {
	return install("qemu-user-static", "zypper:qemu-linux-user", "apk:"+name)
}

// Binfmt is for an emulation that only an administrator may register. Debian's package
// registers itself, too.
func Binfmt() api.Remedy {
	r := root("systemctl restart systemd-binfmt")
	r.Text = "Linux before 6.7 lets only the administrator register QEMU, " + r.Text
	return r
}
