#!/usr/bin/env bash
# Makes .venv in the checkout from requirements.lock. Does nothing when it is already as the lock says.
# Variables: PYTHON=… names the interpreter; UV=… names uv (UV= means: do without it).
set -euo pipefail
cd "$(dirname "$0")/.."

venv=.venv
stamp=$venv/.ready
least="import sys; sys.exit(sys.version_info < (3, 11))"

wanted() { { cksum requirements.lock pyproject.toml scripts/setup.sh; pwd; } }
works() { "$venv/bin/python" -c "$least" 2>/dev/null; }

if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(wanted)" ] && works; then exit 0; fi

find_python() {
    local name
    for name in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11 python; do
        if command -v "$name" >/dev/null && "$name" -c "$least" 2>/dev/null; then echo "$name" && return; fi
    done
    echo "Bethink needs Python 3.11 or newer; none was found. Name one: make setup PYTHON=/path/to/python3" >&2
    return 1
}

with_uv() {
    local uv=$1
    works || "$uv" venv --quiet --clear --python "${PYTHON:->=3.11}" "$venv" || return
    "$uv" pip install --quiet --python "$venv/bin/python" --require-hashes -r requirements.lock || return
    "$uv" pip install --quiet --python "$venv/bin/python" --no-deps --no-build-isolation -e .
}

with_pip() {
    if ! works; then
        local python
        python=$(find_python) || return
        "$python" -m venv --clear "$venv" || return
    fi
    "$venv/bin/python" -m pip --version >/dev/null 2>&1 || "$venv/bin/python" -m ensurepip >/dev/null || return
    local pip=("$venv/bin/python" -m pip --disable-pip-version-check install --quiet)
    "${pip[@]}" --require-hashes -r requirements.lock || return
    "${pip[@]}" --no-deps --no-build-isolation -e .
}

uv=${UV-$(command -v uv || true)}
echo "Setting up $venv (a minute the first time) …" >&2
rm -f "$stamp"
# A registry may be configured for pip alone, so uv's failure is not the last word.
if ! { [ -n "$uv" ] && with_uv "$uv"; }; then
    [ -z "$uv" ] || echo "uv could not do it; trying pip." >&2
    with_pip
fi
wanted >"$stamp"
