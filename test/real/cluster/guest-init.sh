#!/bin/busybox sh
# The first program of the guest, from its initramfs: the machine's own files become its root, read-only. FOLDER comes from the kernel's
# command line. What it starts then is guest-start.sh.
set -e
/bin/busybox --install -s /bin
export PATH=/bin
for module in /modules/*; do insmod "$module"; done
mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=524288,cache=loose machine /machine
mount -t devtmpfs dev /machine/dev
exec switch_root /machine /bin/sh "$START" "$FOLDER" </dev/console >/dev/console 2>&1
