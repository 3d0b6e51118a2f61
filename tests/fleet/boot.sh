#!/bin/sh
# PID 1 of a host, until systemd takes its place: NAME, the folder with its disk, and what to show as SOURCE:TARGET.
set -eu
name=$1 disk=$2
shift 2
root=$disk/booted
mount -t tmpfs -o mode=755 root "$root"
cd "$root"
mkdir -p usr etc var nix root home srv opt proc sys dev run tmp
mount --bind /usr usr
mount -o remount,bind,ro usr
for link in bin sbin lib lib32 lib64 libx32; do
  if [ -L "/$link" ]; then cp -P "/$link" .; elif [ -d "/$link" ]; then mkdir "$link" && mount --bind "/$link" "$link"; fi
done
for folder in etc var nix root home srv; do mount --bind "$disk/$folder" "$folder"; done
for shown; do
  mkdir -p ".${shown#*:}"
  mount --bind "${shown%%:*}" ".${shown#*:}"
  mount -o remount,bind,ro ".${shown#*:}"
done
mount -t proc -o nosuid,nodev,noexec proc proc
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 dev dev
mkdir dev/pts dev/shm
for device in null zero full random urandom tty; do
  touch "dev/$device"
  mount --bind "/dev/$device" "dev/$device"
done
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
mount -t tmpfs -o mode=1777 shm dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s fd/0 dev/stdin
ln -s fd/1 dev/stdout
ln -s fd/2 dev/stderr
mount -t tmpfs -o mode=755 run run
mount -t tmpfs -o mode=1777 tmp tmp
system=nix/store/$(printf %032d 0)-nixos-system-host
[ ! -e "$system" ] || ln -s "/$system" run/current-system
hostname "$name"
mkdir old
pivot_root . old
umount -l /old
rmdir /old
env -i PATH=/usr/bin HOME=/root NIX_REMOTE=local nix-store --register-validity < etc/fleet/store
mount --make-rshared /   # else the files of LoadCredential= never appear in the service
exec env -i container=fleet PATH=/usr/sbin:/usr/bin /lib/systemd/systemd --system --show-status=no
