#!/usr/bin/env bash
# The picture in the README, from the report of `make demo`:  docs/screenshot.sh [chromium]
set -euo pipefail
cd "$(dirname "$0")/.."
profile=$(mktemp -d)
trap 'rm -rf "$profile"' EXIT
"${1:-chromium}" --headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
    --disable-background-networking --disable-component-update --disable-sync --hide-scrollbars \
    --user-data-dir="$profile" --window-size=1200,2780 --screenshot=docs/report.png \
    "file://$PWD/demo/comparison.html" 2>/dev/null
