#!/bin/sh
# Installs what Orch needs on a Debian machine: system packages, .venv, generated code. Each step is skipped when it is
# done and prints one line; a failure says what failed and what to do. Arguments: `dev` adds the tools of the tests.
set -eu
cd "$(dirname "$0")/.."
wanted=${1:-run}
log=$(mktemp)
policy=${POLICY_RC_D:-/usr/sbin/policy-rc.d}
mark="made by Orch's deploy/install.sh"

# A run that was killed may have left our policy, under which no service of the machine starts any more.
remove_policy() { if [ "$(id -u)" = 0 ] && grep -qsF "$mark" "$policy"; then rm -f "$policy"; fi; }

cleanup() { rm -f "$log"; remove_policy; }
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

fail() { # what, advice
    last=$(grep -v '^[[:space:]]*$' "$log" | grep -E '^(E:|ERROR|error)' | tail -n 1 || true)
    [ -n "$last" ] || last=$(tail -n 1 "$log")
    echo "install: $1: ${last:-no more is known}: $2" >&2
    exit 1
}

is_installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

missing_packages() {
    sed 's/#.*//' deploy/packages.txt | while read -r package; do
        [ -z "$package" ] || is_installed "$package" || echo "$package"
    done
}

apt_install() { apt-get install -y --no-install-recommends "$@" >"$log" 2>&1 </dev/null; }

# Debian starts the services of new packages and enables them for the next boot. We run etcd and the registry ourselves,
# so what this installation brings must not run beside them. What was installed before is none of our business.
install_packages() {
    remove_policy
    missing=$(missing_packages)
    if [ -z "$missing" ]; then
        echo "system packages: installed already"
        return
    fi
    [ "$(id -u)" = 0 ] || { echo "install: system packages are missing ($(echo $missing)): run as root" >&2; exit 1; }
    export DEBIAN_FRONTEND=noninteractive
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\n# %s\nexit 101\n' "$mark" > "$policy"
        chmod 755 "$policy"
    fi
    # The package lists are fetched only if the ones that are there do not do.
    apt_install $missing || { apt-get update >"$log" 2>&1 && apt_install $missing; } ||
        fail "system packages $(echo $(missing_packages))" "check /etc/apt/sources.list and the network, then try again"
    for service in etcd docker-registry; do
        if echo "$missing" | grep -q "^$service" && command -v systemctl >/dev/null; then
            systemctl disable --quiet "$service" >/dev/null 2>&1 || true
        fi
    done
    echo "system packages: installed $(echo $missing)"
}

install_python() {
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>"$log" ||
        fail "python3 is older than 3.11" "install Python 3.11 or newer as python3"
    lock=deploy/requirements.lock
    [ "$wanted" = run ] || lock=deploy/requirements-dev.lock
    stamp=.venv/installed-$wanted
    state=$(cat pyproject.toml "$lock" | sha256sum)
    if [ "$(cat "$stamp" 2>/dev/null)" = "$state" ]; then
        echo "python packages ($wanted): installed already"
        return
    fi
    [ -x .venv/bin/pip ] || python3 -m venv .venv >"$log" 2>&1 || fail ".venv" "is python3-venv installed?"
    .venv/bin/pip install --disable-pip-version-check -q -r "$lock" >"$log" 2>&1 ||
        fail "python packages of $lock" "check the network and pip's index, then try again"
    # The plain path form of an editable install: its import hook would cost every start of `orch` some milliseconds.
    .venv/bin/pip install --disable-pip-version-check -q --no-deps --no-build-isolation \
        --config-settings editable_mode=compat -e . >"$log" 2>&1 ||
        fail "the project itself" "look at pyproject.toml"
    echo "$state" > "$stamp"
    echo "python packages ($wanted): installed in .venv"
}

generate_code() {
    for proto in protos/*.proto; do
        generated=${proto%.proto}_pb2.py
        if [ ! -e "$generated" ] || [ "$proto" -nt "$generated" ]; then
            deploy/protos.sh . >"$log" 2>&1 || fail "generating code from $proto" "look at that file"
            echo "generated code: made from protos/"
            return
        fi
    done
    echo "generated code: made already"
}

# Compiled ahead, since every start of `orch` would else compile it again where Python may not write beside the sources.
compile_code() { .venv/bin/python -m compileall -q orch controlplane nodeagent deploy protos >"$log" 2>&1 || true; }

install_packages
install_python
generate_code
compile_code
