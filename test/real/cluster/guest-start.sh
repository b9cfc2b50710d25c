# The first process of the guest once it has its root: guest-start.sh FOLDER. The machine's files are seen read-only; FOLDER is shared with it, and
# what must not be on a shared file system is on the guest's disk. Then it runs what it is told, a number on the second serial port being
# a script FOLDER/guest/NUMBER.sh.
set -eu
folder=$1
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/run TMPDIR=/run/tmp

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t cgroup2 cgroup2 /sys/fs/cgroup
for place in /run /var/lib /var/log; do mount -t tmpfs tmpfs $place; done
mkdir -m 1777 /run/tmp
mount -t 9p -o trans=virtio,version=9p2000.L,msize=524288,cache=none,access=user folder "$folder"
mkdir /run/disk
mount -t ext4 /dev/vda /run/disk
for place in containerd/root kubelet; do
  mkdir -p "/run/disk/$place"
  mount --bind "/run/disk/$place" "$folder/$place"
done
mount --make-rshared /

hostname node1
ip link set lo up
ip addr add 10.77.0.2/24 dev eth0
ip link set eth0 up
ip route add default via 10.77.0.1
echo 1 >/proc/sys/net/ipv4/ip_forward

cd "$folder/guest"
stty -F /dev/ttyS1 raw -echo
exec 3</dev/ttyS1
date +%s >ready.new
mv ready.new ready
while read -r number <&3; do
  {
    sh "$number.sh" >"$number.out" 2>"$number.err" </dev/null 3<&- && code=0 || code=$?
    echo $code >"$number.code.new"
    mv "$number.code.new" "$number.code"
  } &
done
