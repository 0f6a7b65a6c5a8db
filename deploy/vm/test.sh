#!/bin/sh
# Boots a Debian system of today, with systemd and pure cgroup v2, in a virtual machine (emulated, so that no KVM is
# needed) and runs tests in it. Arguments: pytest's; default: what depends on the kernel's cgroup layout. `shutdown` alone
# is another test (tests/vm/shutdown.py): the agent as a unit of systemd, in a machine that reboots.
# The root image is made once and kept in .cache/vm; the working tree goes in on a disk of its own, made anew each time.
# Exit code: pytest's.
set -eu
cd "$(dirname "$0")/../.."
cache=.cache/vm
suite=bookworm
memory_mb=1536
limit_s=${ORCH_VM_LIMIT_S:-2400}
default_tests=tests/contract/test_runtime.py
for name in device_filter escapes faults_kills node_pressure pod_resources pressure_alarm runtime_isolation \
    runtime_recovery runtime_resources runtime_stats runtime_user_namespace security_context; do
    default_tests="$default_tests tests/integration/test_$name.py"
done
[ $# -gt 0 ] || set -- $default_tests

fail() { echo "test-vm: $*" >&2; exit 1; }

packages() { sed 's/#.*//' deploy/vm/packages.txt | tr -s ' \n' ',' | sed 's/^,//; s/,$//'; }

for tool in mmdebstrap qemu-system-x86_64 mkfs.ext4; do
    command -v $tool >/dev/null || fail "$tool is missing: apt-get install --no-install-recommends" \
        "mmdebstrap qemu-system-x86 seabios e2fsprogs"
done

# In place of a login: the tests, then the end.
units() { # root folder
    cat > "$1/etc/systemd/system/orch-tests.service" <<'UNIT'
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/orch/deploy/vm/inside.sh
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
Delegate=yes
[Install]
WantedBy=default.target
UNIT
    mkdir -p "$1/orch" "$1/etc/systemd/system/default.target.wants"
    ln -sf ../orch-tests.service "$1/etc/systemd/system/default.target.wants/"
    ln -sf /dev/null "$1/etc/systemd/system/serial-getty@.service"
    ln -sf /dev/null "$1/etc/systemd/system/systemd-networkd-wait-online.service"
    printf '/dev/vda / ext4 defaults 0 1\n/dev/vdb /orch ext4 ro 0 0\n' > "$1/etc/fstab"
    echo orch-vm > "$1/etc/hostname"
}

# A folder as an ext4 image with some room; what is in a folder is removed afterwards.
image() { # folder, file, megabytes of room
    rm -f "$2"
    mkfs.ext4 -q -F -d "$1" "$2.new" $(($(du -sm "$1" | cut -f1) * 11 / 10 + $3))M
    mv "$2.new" "$2"
    rm -rf "$1"
}

make_root() {
    state=$({ cat deploy/vm/packages.txt; sed -n '/^units()/,/^make_tree()/p' deploy/vm/test.sh; } | sha256sum)
    [ "$(cat $cache/state 2>/dev/null)" = "$state" ] && return
    echo "test-vm: making the root image, which takes some minutes"
    mkdir -p $cache
    root=$(mktemp -d $cache/root.XXXXXX)
    mmdebstrap --quiet --variant=minbase --include="$(packages)" --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' $suite "$root"
    units "$root"
    cp "$root"/boot/vmlinuz-* $cache/kernel
    cp "$root"/boot/initrd.img-*-amd64 $cache/initrd
    image "$root" $cache/root.img 1024
    echo "$state" > $cache/state
}

make_tree() {
    tree=$(mktemp -d $cache/tree.XXXXXX)
    tar -c --exclude-from=deploy/vm/not-in-vm.txt controlplane nodeagent orch protos tests manifests deploy pyproject.toml \
        -C .venv/lib/python3.*/ site-packages | tar -x -C "$tree"
    echo "$*" > "$tree/arguments"
    image "$tree" $cache/tree.img 16
}

boot() {
    [ "$*" = shutdown ] && at_reboot=reset || at_reboot=shutdown
    timeout "$limit_s" qemu-system-x86_64 -machine q35 -accel tcg,thread=multi -cpu max -smp 2 -m $memory_mb \
        -kernel $cache/kernel -initrd $cache/initrd \
        -append "root=/dev/vda rw console=ttyS0 quiet systemd.show_status=0 panic=-1" \
        -drive file=$cache/root.img,if=virtio,format=raw,snapshot=on \
        -drive file=$cache/tree.img,if=virtio,format=raw,snapshot=on \
        -nic none -display none -monitor none -serial stdio -action reboot=$at_reboot </dev/null | tee $cache/serial.log
}

make_root
make_tree "$@"
boot "$@"
code=$(tr -d '\r' < $cache/serial.log | sed -n 's/^orch-vm-exit-code: //p')
[ -n "$code" ] || fail "the machine ended before its tests did; see $cache/serial.log"
exit "$code"
