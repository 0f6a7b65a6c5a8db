#!/bin/sh
# What runs inside of the virtual machine of test.sh: the tests, on the working tree that is mounted read-only.
cd /orch
echo "test-vm: $(uname -r), up since $(cut -d. -f1 /proc/uptime) s, cgroup v2: $(cat /sys/fs/cgroup/cgroup.controllers)"
export PYTHONPATH=/orch:/orch/site-packages PYTHONDONTWRITEBYTECODE=1 HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin
ip link set lo up
if [ "$(cat arguments)" = shutdown ]; then
    python3 -m tests.vm.shutdown
    code=$?
    # 75: it goes on after a reboot.
    [ $code = 75 ] && exec systemctl reboot --no-block
else
    # shellcheck disable=SC2046 - arguments are words
    python3 -m pytest -p no:cacheprovider --color=no $(cat arguments)
    code=$?
fi
echo "orch-vm-exit-code: $code"
systemctl poweroff --force
