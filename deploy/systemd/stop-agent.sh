#!/bin/sh
# What stopping the unit does before systemd sends SIGTERM, on which the agent ends alone. When it stops because the
# machine goes down, the agent is told by SIGPWR and ends its pods first; this waits for it, as systemd then waits for us.
set -eu
# The job says it at any time; `systemctl is-system-running` says `starting` when the machine has not finished booting.
[ -n "$(systemctl show --property=Job --value shutdown.target)" ] || exit 0
[ -n "${MAINPID:-}" ] || exit 0
kill -PWR "$MAINPID"
exec tail --pid="$MAINPID" --sleep-interval=0.2 --follow /dev/null
