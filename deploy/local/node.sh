# The first process of a local node, inside its new namespaces; becomes the node's init. Fails on the first fault.
# Arguments: node name, the node's own state folder, the folder of all clusters' state, the hidden cgroup2 mount or "".
set -eu
name=$1 state=$2 all_state=$3 unified=$4

hostname "$name"

# A machine sees its own state only. The bind mount waits in /run while the folder of all is covered.
mount -t tmpfs -o mode=755,nosuid,nodev tmpfs /run
mkdir /run/own-state
mount --bind "$state" /run/own-state
mount -t tmpfs -o mode=700,nosuid,nodev tmpfs "$all_state"
mkdir -p "$state"
mount --move /run/own-state "$state"
rmdir /run/own-state

# The machine's resolver may listen on its loopback only, and its file may lie below the /run that is covered now.
target=$(readlink -m /etc/resolv.conf)
mkdir -p "$(dirname "$target")"
[ -e "$target" ] || : > "$target"
mount --bind "$state/resolv.conf" "$target"

# crun refuses a hybrid layout; it takes the hierarchy for absent when something else is mounted there.
[ -z "$unified" ] || mount -t tmpfs -o mode=755,size=1m none "$unified"

exec catatonit -P
