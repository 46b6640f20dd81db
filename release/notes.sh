#!/usr/bin/env bash
# Prints what CHANGELOG.md says about VERSION; before its release, what is under "Unreleased".
#
# Usage: release/notes.sh VERSION
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

section=Unreleased
if grep --quiet --fixed-strings "## [$1]" CHANGELOG.md; then section="$1"; fi
notes="$(awk -v section="## [$section]" 'index($0, section) == 1 { inside = 1; next } /^## / || /^\[/ { inside = 0 } inside' CHANGELOG.md)"
[[ -n "$notes" ]] || { echo "CHANGELOG.md says nothing under [$section]" >&2; exit 1; }
printf '%s\n' "$notes"
