#!/bin/bash
# boot.sh ROOT HOSTNAME: run by `unshare` inside new mount, pid, uts and ipc namespaces (and
# the host's network namespace); makes ROOT the root of everything and becomes its init.
set -eu
root=$1
hostname "$2"

# pivot_root needs a mount point; with it, the host sees "/" and its own mounts, not ours.
mount --bind "$root" "$root"
cd "$root"
mount -t proc -o nosuid,nodev,noexec proc proc
mount -t sysfs -o nosuid,nodev,noexec,ro sysfs sys
mount -t tmpfs -o nosuid,nodev,mode=755,size=256m tmpfs run
mkdir -m 1777 run/lock
mkdir run/user

# A /dev of its own: whatever happens in the host cannot reach this machine's devices.
mount -t tmpfs -o nosuid,mode=755,size=64k tmpfs dev
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
mount -t tmpfs -o nosuid,nodev,mode=1777 tmpfs dev/shm
for node in null:3 zero:5 full:7 random:8 urandom:9; do
    mknod -m 666 "dev/${node%:*}" c 1 "${node#*:}"
done
mknod -m 666 dev/tty c 5 0
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s /proc/self/fd/0 dev/stdin
ln -s /proc/self/fd/1 dev/stdout
ln -s /proc/self/fd/2 dev/stderr

mkdir run/outer
pivot_root . run/outer
cd /
umount --lazy /run/outer
rmdir /run/outer
exec /usr/local/sbin/sandbox-init
