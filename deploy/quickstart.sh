#!/bin/sh
# Builds the quick start's image, applies its manifests, waits until it serves, and says how to look at it.
# Argument: the folder of the `orch` command (default: .venv/bin).
set -eu
cd "$(dirname "$0")/.."
orch=${1:-.venv/bin}/orch
folder=manifests/quickstart
log=$(mktemp)
trap 'rm -f "$log"' EXIT

image_id() { $orch image ls | awk '$1 == "docker.io/library/quickstart:1" { print $2 }'; }

before=$(image_id)
cmp -s /bin/busybox "$folder/busybox" || cp /bin/busybox "$folder/busybox"
$orch image build -t quickstart:1 --push "$folder" >"$log" 2>&1 || { tail -n 1 "$log" >&2; exit 1; }
if [ "$(image_id)" = "$before" ]; then
    echo "image quickstart:1: built already"
else
    echo "image quickstart:1: built and pushed to the cluster's registry"
fi
$orch apply -f "$folder/"
$orch rollout status deployment/web -n quickstart --timeout 120s
echo
$orch get pods -n quickstart -o wide
address=$($orch get nodes -o wide --no-headers | awk 'NR == 1 { print $6 }')
echo
echo "Fetch a page through the Service:  curl http://$address:30080/"
