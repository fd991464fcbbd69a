#!/bin/sh
# From a fresh Debian 12 machine to a mounted leasefs in one command: installs what is missing, builds,
# mounts, and shows the walk-through.
#
#     $ examples/quickstart.sh              # or: examples/quickstart.sh MOUNTPOINT
#     ...
#     leasefs is mounted on /mnt/keys.
#     ...
#     Unmount it with: umount /mnt/keys
#
# Run it as root, or as a user who may use sudo (for apt-get and for making the mountpoint; the mount is
# that user's own then).
set -eu

mountpoint=${1:-/mnt/keys}
case $mountpoint in
/*) ;;
*) mountpoint=$PWD/$mountpoint ;;
esac
cd "$(dirname "$0")/.."

if [ "$(id -u)" = 0 ]; then
    sudo='' unmount=umount lazily=-l
else
    sudo=sudo unmount='fusermount3 -u' lazily=-z
fi

.ci/install build

[ -f build/build.ninja ] || meson setup build
meson compile -C build

if findmnt --mountpoint "$mountpoint" --types fuse.leasefs >/dev/null; then
    if ! ls "$mountpoint/leases" >/dev/null 2>&1; then
        echo "The leasefs on $mountpoint does not answer. Unmount it with: $unmount $lazily $mountpoint" >&2
        exit 1
    fi
    echo "leasefs was already mounted on $mountpoint."
else
    [ -d "$mountpoint" ] || $sudo install -d -o "$(id -u)" -g "$(id -g)" "$mountpoint"
    if [ -n "$(ls -A "$mountpoint")" ]; then
        echo "$mountpoint is not empty. Name an empty or new directory: $0 MOUNTPOINT" >&2
        exit 1
    fi
    build/fs/leasefs "$mountpoint"
    echo "leasefs is mounted on $mountpoint."
fi

examples/walkthrough.sh "$mountpoint"

echo
echo "Unmount it with: $unmount $mountpoint"
