#!/bin/sh
# vm.sh BUILD_DIR [JOB] - the built tests of sandboxes under another kernel, with cgroup v2 only.
#
# For a developer, by hand; not part of `make check`. Makes a disk image of this host's /usr and /etc
# and of this tree, boots a Debian kernel with it in QEMU (TCG: neither KVM nor a network is needed),
# and runs JOB inside (default: job.sh beside this file). As root, for the loop device.
#
#   apt install qemu-system-x86 linux-image-cloud-amd64
#
# KERNEL=VERSION chooses among those in /boot, VM_DIR where the image is kept (default /var/tmp),
# VM_LIMIT how many seconds it may take (default 1800).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
tree=$(cd "$here/../../.." && pwd)
build=$(cd "${1:?the build directory}" && pwd)
job=${2:-$here/job.sh}
dir=${VM_DIR:-/var/tmp}/lambkin-vm
kernel=${KERNEL:-$(ls /boot | sed -n 's/^vmlinuz-\(.*cloud.*\)/\1/p' | tail -n 1)}
image=$dir/disk.img
root=$dir/root

[ "$(id -u)" = 0 ] || { echo "vm.sh: needs root, for the loop device" >&2; exit 1; }
[ -n "$kernel" ] || { echo "vm.sh: no kernel: apt install linux-image-cloud-amd64" >&2; exit 1; }
command -v qemu-system-x86_64 >/dev/null || {
    echo "vm.sh: no QEMU: apt install qemu-system-x86" >&2; exit 1; }
mkdir -p "$root"
fresh=
if [ ! -e "$image" ]; then
    truncate -s 8G "$image"
    mkfs.ext4 -q -F "$image"
    fresh=1
fi
mountpoint -q "$root" || mount -o loop "$image" "$root"
trap 'umount "$root" 2>/dev/null || :' EXIT
if [ -n "$fresh" ]; then
    (cd / && tar cf - --exclude=usr/share/doc --exclude=usr/share/man --exclude=usr/share/locale \
        --exclude=usr/lib/modules --exclude=usr/lib/gcc --exclude=usr/lib/llvm-14 \
        --exclude=usr/lib/chromium --exclude=usr/src usr etc bin sbin lib lib64 2>/dev/null) |
        tar xf - -C "$root"
    for d in proc sys dev run tmp root/a root/b home opt mnt media srv var/lib var/tmp vm; do
        mkdir -p "$root/$d"
    done
    chmod 1777 "$root/tmp" "$root/var/tmp"
fi
# The tree at its own path, so that the build's paths hold.
rm -rf "${root:?}$tree"
mkdir -p "$root$tree" "$root$build/src/cli"
cp -a "$tree/test" "$tree/tools" "$tree/examples" "$root$tree/"
mkdir -p "$root$tree/src" && cp -a "$tree/src/runtime" "$root$tree/src/"
cp -a "$build/test" "$root$build/"
cp -a "$build/src/cli/lambkin" "$root$build/src/cli/"
if [ -d "$tree/.venv/" ]; then
    venv=$(readlink -f "$tree/.venv")
    rm -rf "${root:?}$venv" && mkdir -p "$root$(dirname "$venv")" && cp -a "$venv" "$root$venv"
    [ "$venv" = "$tree/.venv" ] || ln -sfn "$venv" "$root$tree/.venv"
fi
cp "$here/init.sh" "$root/vm/init.sh"
cp "$job" "$root/vm/job.sh"
printf 'TREE=%s\nBUILD=%s\n' "$tree" "$build" >"$root/vm/where"
chmod 755 "$root/vm/init.sh"
umount "$root"
trap - EXIT
timeout "${VM_LIMIT:-1800}" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 4096 \
    -nographic -no-reboot -nic none -kernel "/boot/vmlinuz-$kernel" \
    -initrd "/boot/initrd.img-$kernel" \
    -drive "file=$image,format=raw,if=virtio,cache=unsafe" \
    -append "root=/dev/vda rw console=ttyS0 quiet init=/vm/init.sh panic=-1" </dev/null |
    tee "$dir/last.log"
grep -q '^VM: all passed' "$dir/last.log"
