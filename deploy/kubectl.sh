#!/bin/sh
# Debian's kubectl for the tests, unpacked below .cache: not installed, since another package may own its path.
set -eu
cd "$(dirname "$0")/.."
folder=.cache/kubernetes-client
if [ -x "$folder/usr/bin/kubectl" ]; then
    echo "kubectl for tests: unpacked already"
    exit 0
fi
mkdir -p "$folder/download"
cd "$folder/download"
apt-get download -q kubernetes-client >/dev/null 2>&1 || { apt-get update -q >/dev/null && apt-get download -q kubernetes-client >/dev/null; } || {
    echo "kubectl for tests: cannot download Debian's package kubernetes-client: check /etc/apt/sources.list and the network" >&2
    exit 1
}
dpkg-deb -x kubernetes-client_*.deb ..
echo "kubectl for tests: unpacked in $folder"
