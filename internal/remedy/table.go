package remedy

import (
	"strconv"
	"strings"

	"sbx/api"
)

// User namespaces.

// MaxUserNamespaces is for none or too few of them, user_namespaces(7).
func MaxUserNamespaces() api.Remedy { return sysctl("user.max_user_namespaces", "28633") }

// UserNamespaceClone is for Debian's switch.
func UserNamespaceClone() api.Remedy { return sysctl("kernel.unprivileged_userns_clone", "1") }

// AppArmor is for Ubuntu's restriction of user namespaces: a profile for the program
// at exe, which its children keep. https://ubuntu.com/blog/ubuntu-23-10-restricted-unprivileged-user-namespaces
func AppArmor(exe string) api.Remedy {
	file := "/etc/apparmor.d/" + strings.ReplaceAll(strings.Trim(exe, "/"), "/", ".")
	r := root(`printf '%s\n' 'abi <abi/4.0>,' 'include <tunables/global>' ` +
		Quote(`"`+pattern.Replace(exe)+`" flags=(unconfined) {`) + ` '  userns,' '}' >` + Quote(file) + ` && apparmor_parser -r ` + Quote(file))
	return r
}

// pattern writes a path so that AppArmor takes it literally, apparmor.d(5).
var pattern = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`, `{`, `\{`, `}`, `\}`, `^`, `\^`, `"`, `\"`, `@`, `\@`)

// Forbidden is for user namespaces that nothing known forbids.
func Forbidden() api.Remedy {
	return api.Remedy{Text: "a seccomp filter or a security module forbids user namespaces here; inside a container allow clone, unshare, mount and pivot_root (run it with --security-opt seccomp=unconfined), and in a chroot there are none"}
}

// Subordinate ids.

// Newuidmap is for the helpers that write id maps.
func Newuidmap() api.Remedy {
	return install("uidmap", "dnf:shadow-utils", "zypper:shadow", "pacman:shadow", "apk:shadow-uidmap")
}

// UnprivilegedNewuidmap is for helpers that are there and have lost their privilege.
func UnprivilegedNewuidmap(uidHelper, gidHelper string) api.Remedy {
	return root("chmod u+s " + Quote(uidHelper) + " " + Quote(gidHelper))
}

// SubordinateIDs is for a user, by name or by number, without ranges in the files
// that are named: length ids from start on. The lines are what usermod(8) writes, and
// it does so for users of /etc/passwd only.
func SubordinateIDs(user string, start, length int, files ...string) api.Remedy {
	return root("echo " + user + ":" + strconv.Itoa(start) + ":" + strconv.Itoa(length) + " | tee -a " + strings.Join(files, " "))
}

// Overlay and FUSE.

// OverlayModule is for a kernel without overlay.
func OverlayModule() api.Remedy { return module("overlay") }

// module loads a part of the kernel, now and at every boot.
func module(name string) api.Remedy {
	r := root("modprobe " + name)
	r.Root += "\necho " + name + " >/etc/modules-load.d/sbx-" + name + ".conf"
	return r
}

// OverlayForbidden is for a kernel that keeps overlay from user namespaces.
func OverlayForbidden() api.Remedy {
	return api.Remedy{Text: "overlay in a user namespace needs Linux 5.11, a local disk below (set SBX_DATA), and no security module that forbids it"}
}

// LocalDisk is for a file system that cannot carry an overlay.
func LocalDisk() api.Remedy {
	return api.Remedy{Text: "the file system below cannot carry the upper directory of an overlay, as NFS, FUSE or an overlay: set SBX_DATA to a directory on a local disk, in a container to one on a volume (-v NAME:DIR)"}
}

// FuseOverlayfs is for the program of that name.
func FuseOverlayfs() api.Remedy { return install("fuse-overlayfs") }

// FuseModule is for a machine, or a container, without FUSE.
func FuseModule() api.Remedy {
	r := module("fuse")
	r.Text += ", or in a container give it the device: --device /dev/fuse"
	return r
}

// FuseDevice is for /dev/fuse that the user may not open.
func FuseDevice() api.Remedy { return device("/dev/fuse", "fuse") }

// device opens one to everybody, as most systems have it. udev(7) makes it last.
func device(path, kernel string) api.Remedy {
	r := root("chmod 666 " + path)
	r.Root += "\necho 'KERNEL==\"" + kernel + "\", MODE=\"0666\"' >/etc/udev/rules.d/60-sbx-" + kernel + ".rules"
	return r
}

// The way out to the network.

// Passt is for the program pasta.
func Passt() api.Remedy { return install("passt") }

// Slirp4netns is for the program of that name.
func Slirp4netns() api.Remedy { return install("slirp4netns") }

// Tun is for /dev/net/tun that the user may not open.
func Tun() api.Remedy { return device("/dev/net/tun", "tun") }

// TunModule is for a machine, or a container, without that device.
func TunModule() api.Remedy {
	r := module("tun")
	r.Text += ", or in a container give it the device: --device /dev/net/tun"
	return r
}

// LowPorts lets everybody listen on port and those above it.
func LowPorts(port int) api.Remedy {
	return sysctl("net.ipv4.ip_unprivileged_port_start", strconv.Itoa(port))
}

// Sessions and limits.

// ServiceManager is for a user whose service manager does not run.
func ServiceManager(user string) api.Remedy {
	return api.Remedy{Text: "log in by ssh or on the console rather than with su or sudo, or have it run always: " + Linger(user).Text}
}

// Linger keeps what a user has started after the end of the session.
func Linger(user string) api.Remedy {
	return api.Remedy{Text: "loginctl enable-linger " + Quote(user)}
}

// Delegate makes systemd delegate every controller to all users. The distributions'
// usual is cpu, memory and pids. A reload does not reach a service manager that runs.
func Delegate() api.Remedy {
	r := root(`mkdir -p /etc/systemd/system/user@.service.d && ` +
		`printf '[Service]\nDelegate=cpu cpuset io memory pids\n' >/etc/systemd/system/user@.service.d/delegate.conf && ` +
		`systemctl daemon-reload`)
	r.Text += "; then reboot, or end what you run: systemctl restart user@" + uid()
	return r
}

// CgroupBoot is for cgroups of version 1.
func CgroupBoot() api.Remedy {
	return api.Remedy{Text: "boot with systemd.unified_cgroup_hierarchy=1"}
}

// Inotify is for a limit of fs.inotify, "max_user_watches".
func Inotify(limit, value string) api.Remedy { return sysctl("fs.inotify."+limit, value) }

// Data is for a data directory that cannot be used.
func Data() api.Remedy {
	return api.Remedy{Text: "set SBX_DATA to a directory that you can write"}
}

// Proc is for a kernel that refuses a new proc file system.
func Proc() api.Remedy {
	return api.Remedy{Text: "a mount hides part of the host's /proc, as in a container: the kernel then refuses a new one; give the container an unmasked /proc (podman run --security-opt unmask=/proc/*, docker run --security-opt systempaths=unconfined)"}
}

// Memfd is for a kernel that lets no memory file be executed, Linux 6.3.
func Memfd() api.Remedy { return sysctl("vm.memfd_noexec", "1") }
