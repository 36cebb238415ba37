#!/bin/sh
# init.sh - the first process of the virtual machine: cgroup v2 and nothing of v1, then the job.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb
mount -t proc proc /proc
mount -t sysfs sys /sys 2>/dev/null
mount -t devtmpfs dev /dev 2>/dev/null
mkdir -p /dev/shm /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /run
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t securityfs securityfs /sys/kernel/security
ip link set lo up
hostname vm
. /vm/where
export TREE BUILD
if sh /vm/job.sh >/dev/ttyS0 2>&1 </dev/null; then
    echo "VM: all passed" >/dev/ttyS0
else
    echo "VM: something failed" >/dev/ttyS0
fi
sync
mount -o remount,ro /
echo o >/proc/sysrq-trigger
sleep 10
