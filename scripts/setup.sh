#!/usr/bin/env bash
# Brings a Debian machine with only Rust to where the Makefile can work: `setup.sh build` or `setup.sh test`.
#
# Installs with apt-get what is missing, as root or by a sudo that asks nothing; where neither is there, says which packages
# are missing and how to install them. Does nothing, and needs no network, when everything is there.
set -euo pipefail

purpose=${1:-build}
case $purpose in build | test) ;; *) echo "usage: $0 build|test" >&2; exit 2 ;; esac

if ! command -v cargo >/dev/null; then
    echo "Rust is missing: install it with rustup (https://rustup.rs) or your distribution's packages, 1.90 or newer." >&2
    exit 1
fi

missing=()
need() { # need COMMAND PACKAGE…: the packages bring the command
    local command=$1
    shift
    command -v "$command" >/dev/null || missing+=("$@")
}

# SQLite and the cryptography are compiled from C.
need cc gcc libc6-dev
need pkg-config pkg-config

if [ "$purpose" = test ]; then
    need python3 python3 python3-venv
    # Debian's python3 comes without what `python3 -m venv` needs.
    if command -v python3 >/dev/null && ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
        missing+=(python3-venv)
    fi
    need node nodejs
    need npm npm
    need curl curl
    need git git
    need go golang-go
    # Debian keeps the programs of the server beside those of other versions, not in the path.
    ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || need initdb postgresql
    need pgrep procps
fi

[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" = 0 ]; then
    as_root=()
elif sudo -n true 2>/dev/null; then
    as_root=(sudo -n)
else
    echo "These packages are missing: ${missing[*]}" >&2
    echo "Install them, then run make again:  sudo apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
fi
if ! command -v apt-get >/dev/null; then
    echo "These are missing, and this machine has no apt-get to install them with: ${missing[*]}" >&2
    exit 1
fi

echo "installing: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
install=("${as_root[@]}" apt-get install --yes --quiet --no-install-recommends "${missing[@]}")
# The package lists of a fresh machine are empty or stale.
"${install[@]}" >/dev/null 2>&1 || { "${as_root[@]}" apt-get update --quiet >/dev/null && "${install[@]}" >/dev/null; } || {
    echo "apt-get could not install: ${missing[*]}" >&2
    exit 1
}
