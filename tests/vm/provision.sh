#!/bin/sh
# Runs inside the freshly unpacked Debian root (chroot), called by `vm build`.
# Everything that makes the machine differ from a plain Debian install is here.
set -eu
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin
in=/tmp/sbx-vm # input: id.pub, hostkey, hostkey.pub
out=/boot/sbx  # output for direct kernel boot: kernel, initrd

# --- identity, network ------------------------------------------------------
echo sbxvm > /etc/hostname
printf '127.0.0.1 localhost\n127.0.1.1 sbxvm\n::1 localhost ip6-localhost ip6-loopback\n' > /etc/hosts
echo '/dev/vda / ext4 rw,noatime,errors=remount-ro 0 0' > /etc/fstab
rm -f /etc/resolv.conf
echo 'nameserver 10.0.2.3' > /etc/resolv.conf
cat > /etc/systemd/network/10-lan.network <<'END'
[Match]
Driver=virtio_net
[Network]
Address=10.0.2.15/24
Gateway=10.0.2.2
IPv6AcceptRA=no
END
# There is no way out, but there is a name server, which answers at once:
# host.test is this machine, txt.test has a TXT record, no other name exists.
printf '[Match]\nName=lo\n[Network]\nAddress=10.0.2.3/32\n' > /etc/systemd/network/05-lo.network
cat > /etc/systemd/system/sbx-dns.service <<'END'
[Unit]
Description=Name server of the closed network
After=systemd-networkd.service
[Service]
ExecStart=/usr/sbin/dnsmasq --keep-in-foreground --conf-file=/dev/null --no-hosts --no-resolv \
	--pid-file= --listen-address=10.0.2.3 --bind-dynamic \
	--host-record=host.test,10.0.2.15 --txt-record=txt.test,hello --local=/#/
[Install]
WantedBy=multi-user.target
END
systemctl enable systemd-networkd.service sbx-dns.service 2>/dev/null
# A fixed machine-id: no first-boot work on every pristine boot.
echo 5b8a5e0c3d0f4b7fa6a1c6d1f0a7e513 > /etc/machine-id

# --- users ------------------------------------------------------------------
# dev       subuid/subgid, lingering        (the ordinary user)
# nosub     no subuid/subgid, lingering
# nolinger  subuid/subgid, no lingering
uid=1000
for u in dev nosub nolinger; do
	useradd --uid $uid --user-group --create-home --shell /bin/bash --password '*' "$u"
	uid=$((uid + 1))
done
printf 'dev:100000:65536\nnolinger:165536:65536\n' > /etc/subuid
cp /etc/subuid /etc/subgid
rm -f /etc/subuid- /etc/subgid-
mkdir -p /var/lib/systemd/linger
touch /var/lib/systemd/linger/dev /var/lib/systemd/linger/nosub

# --- ssh --------------------------------------------------------------------
# The keys come from the cache directory: none are made at boot.
rm -f /etc/ssh/ssh_host_*
install -m 600 $in/hostkey /etc/ssh/ssh_host_ed25519_key
install -m 644 $in/hostkey.pub /etc/ssh/ssh_host_ed25519_key.pub
for u in root dev nosub nolinger; do
	h=$(getent passwd "$u" | cut -d: -f6)
	install -d -m 700 -o "$u" -g "$u" "$h/.ssh"
	install -m 600 -o "$u" -g "$u" $in/id.pub "$h/.ssh/authorized_keys"
done
cat > /etc/ssh/sshd_config.d/sbx.conf <<'END'
HostKey /etc/ssh/ssh_host_ed25519_key
PasswordAuthentication no
KbdInteractiveAuthentication no
UseDNS no
PrintMotd no
PrintLastLog no
X11Forwarding no
MaxSessions 200
MaxStartups 200
END
: > /etc/motd
echo LANG=C.UTF-8 > /etc/default/locale

# --- services ---------------------------------------------------------------
# The tests start registries and file servers of their own.
systemctl disable nfs-server.service nfs-client.target nfs-blkmap.service rpcbind.service rpcbind.socket docker-registry.service netavark-dhcp-proxy.service \
	netavark-dhcp-proxy.socket netavark-firewalld-reload.service remote-fs.target 2>/dev/null
systemctl mask systemd-networkd-wait-online.service systemd-pstore.service \
	systemd-binfmt.service proc-sys-fs-binfmt_misc.automount \
	modprobe@drm.service systemd-hwdb-update.service \
	apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer \
	e2scrub_all.timer e2scrub_reap.service man-db.timer systemd-tmpfiles-clean.timer \
	serial-getty@ttyS0.service getty@tty1.service sshd-keygen.service 2>/dev/null
mkdir -p /etc/systemd/system-generators
ln -s /dev/null /etc/systemd/system-generators/systemd-ssh-generator # AF_VSOCK ssh
systemctl --global disable dirmngr.socket gpg-agent.socket gpg-agent-browser.socket \
	gpg-agent-extra.socket gpg-agent-ssh.socket keyboxd.socket ssh-agent.socket 2>/dev/null
# Drivers of emulated hardware that nothing here uses.
for m in kvm_amd kvm_intel iTCO_wdt lpc_ich i2c_i801 i2c_piix4 ahci ata_piix ata_generic \
	pcspkr psmouse evdev serio_raw floppy cfg80211 qemu_fw_cfg vmw_vmci \
	vmw_vsock_vmci_transport; do
	echo "blacklist $m"
done > /etc/modprobe.d/sbx-vm.conf

# --- AppArmor ---------------------------------------------------------------
# A stock Debian loads its packages' profiles, so this machine does too; those
# of programs that are not installed are dropped, to boot faster.
for p in /etc/apparmor.d/*; do
	[ -f "$p" ] || continue
	case ${p##*/} in
	busybox | crun | podman | slirp4netns | bwrap* | unprivileged_userns | \
		usr.bin.passt | usr.bin.pasta | fusermount3 | unix-chkpwd) ;;
	*) rm -f "$p" ;;
	esac
done

# --- kernel and initrd ------------------------------------------------------
# Debian's kernel, its decompressed ELF image where it can be had (that saves
# decompressing it under emulation), and an initrd with just the modules of
# that kernel that mount the root: virtio_blk and ext4.
mkdir -p $out
kver=$(cd /usr/lib/modules && ls | sort -V | tail -n 1)
cp "/boot/vmlinuz-$kver" $out/kernel
python3 - "/boot/vmlinuz-$kver" /tmp/payload <<'END' || true
import struct, sys
d = open(sys.argv[1], "rb").read()
off, length = struct.unpack_from("<II", d, 0x248)
start = ((d[0x1f1] or 4) + 1) * 512 + off
# the last 4 bytes are the unpacked size
open(sys.argv[2], "wb").write(d[start:start + length - 4])
END
for c in 'zstd -q' xz gzip lz4; do
	if $c -dc < /tmp/payload > /tmp/vmlinux 2>/dev/null &&
		[ "$(head -c 4 /tmp/vmlinux | tail -c 3)" = ELF ]; then
		mv /tmp/vmlinux $out/kernel
		break
	fi
done
rm -f /tmp/payload /tmp/vmlinux
i=$(mktemp -d)
mkdir -p "$i/dev" "$i/root" "$i/m"
cp /bin/busybox "$i/busybox"
for m in crc32c_generic ext4 virtio_blk; do
	modprobe --set-version "$kver" --show-depends "$m" | while read -r what ko _; do
		[ "$what" = insmod ] || continue
		b=$(basename "${ko%.xz}")
		ls "$i/m" | grep -q -- "-$b\$" && continue
		case $ko in *.xz) xz -dc "$ko" ;; *) cat "$ko" ;; esac > "$i/m/$(printf %02d "$(ls "$i/m" | wc -l)")-$b"
	done
done
cat > "$i/init" <<'END'
#!/busybox sh
/busybox mount -t devtmpfs none /dev
for m in /m/*; do /busybox insmod "$m"; done
while ! [ -b /dev/vda ]; do /busybox sleep 0.02; done
/busybox mount -t ext4 -o rw,noatime /dev/vda /root
/busybox mount --move /dev /root/dev
exec /busybox switch_root /root /sbin/init
END
chmod +x "$i/init"
(cd "$i" && find . | sort | /bin/busybox cpio -o -H newc 2>/dev/null) > $out/initrd
rm -rf "$i"
echo "$kver" > $out/version
rm -f /boot/initrd.img* /initrd.img* /vmlinuz*

# --- trim -------------------------------------------------------------------
apt-get clean
rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/log/*.log /var/log/apt \
	/usr/share/locale/* /var/cache/debconf/*-old
ldconfig
journalctl --update-catalog 2>/dev/null || true
touch /etc/.updated /var/.updated
