#!/bin/sh
# Fails when the generated code is not what protos/ would give now.
set -eu
cd "$(dirname "$0")/.."
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
deploy/protos.sh "$fresh"
for file in "$fresh"/protos/*; do
    cmp -s "$file" "protos/$(basename "$file")" || {
        echo "protos/$(basename "$file") is stale: run 'make protos'" >&2
        exit 1
    }
done
echo "Generated code is fresh"
