#!/bin/sh
# Makes the mount namespace of the agent and keeps it as FOLDER/namespace, so that the next agent finds the mounts of the
# pods that run on. Sees the host's mounts, shows it none. Argument: the folder.
set -eu
folder=$1
is_mounted() { findmnt --mountpoint "$1" >/dev/null; }

mkdir -p "$folder"
# The file of a namespace cannot be mounted where mounts are passed on to that very namespace.
is_mounted "$folder" || { mount --bind "$folder" "$folder" && mount --make-private "$folder"; }
is_mounted "$folder/namespace" && exit 0
: > "$folder/namespace"
unshare --mount="$folder/namespace" --propagation slave true
