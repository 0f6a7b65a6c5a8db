#!/bin/sh
# Generates the Python code of protos/*.proto below the folder that is named.
set -eu
target=$(realpath "$1")
cd "$(dirname "$0")/.."
.venv/bin/python -m grpc_tools.protoc -I. --python_out="$target" --pyi_out="$target" --grpc_python_out="$target" protos/*.proto
