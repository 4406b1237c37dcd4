#!/usr/bin/env bash
# Writes requirements.lock: run time, every extra and the development tools, for all platforms, with hashes and without any
# host. It keeps the versions it has; `make lock UPGRADE=1` takes the newest.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=${UV:-$(command -v uv || command -v .venv/bin/uv || true)}
[ -n "$uv" ] || { echo "make lock needs uv (pip install uv)" >&2; exit 1; }
"$uv" pip compile pyproject.toml --all-extras --group dev --universal --python-version 3.11 --generate-hashes \
    --no-header --no-annotate --no-emit-index-url --no-emit-find-links ${UPGRADE:+--upgrade} --quiet -o requirements.lock
if grep -nE '://|^-' requirements.lock; then echo "requirements.lock names a host" >&2; exit 1; fi
