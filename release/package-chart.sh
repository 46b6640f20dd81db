#!/usr/bin/env bash
# Packages the chart into DIRECTORY with the changes of its version, out of CHANGELOG.md, as Artifact Hub shows them. Before a
# release these are the changes under "Unreleased".
#
# Usage: release/package-chart.sh DIRECTORY
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

mkdir -p "$1"
version="$(awk '/^version: / { print $2 }' charts/acr-credential-helper/Chart.yaml)"
stage="$(mktemp -d)"
trap 'rm -rf "$stage"' EXIT
cp -R charts/acr-credential-helper "$stage/"

# One entry for each item: its lines are joined, and Markdown that Artifact Hub does not render is removed.
release/notes.sh "$version" | awk '
  function flush() {
    if (item == "") return
    # Such as "Not in it": Artifact Hub knows only these.
    if (kind !~ /^(added|changed|deprecated|removed|fixed|security)$/) { item = ""; return }
    while (match(item, /\[[^]]*\]\([^)]*\)/)) {
      link = substr(item, RSTART, RLENGTH)
      sub(/^\[/, "", link); sub(/\]\(.*/, "", link)
      item = substr(item, 1, RSTART - 1) link substr(item, RSTART + RLENGTH)
    }
    gsub(/[`*]/, "", item)
    gsub(/\047/, "\047\047", item)
    print "    - kind: " kind "\n      description: \047" item "\047"
    item = ""
  }
  /^### / { flush(); kind = tolower($2); next }
  /^- / { flush(); item = substr($0, 3); next }
  /^  / && item != "" { sub(/^ +/, " "); item = item $0; next }
  { flush() }
  END { flush() }
' > "$stage/changes"
[[ -s "$stage/changes" ]] || { echo "CHANGELOG.md lists no changes of $version" >&2; exit 1; }
sed -i -e '/^annotations:$/a\  artifacthub.io/changes: |' "$stage/acr-credential-helper/Chart.yaml"
sed -i -e "/^  artifacthub.io\/changes: |\$/r $stage/changes" "$stage/acr-credential-helper/Chart.yaml"
"${HELM:-helm}" package --destination "$1" "$stage/acr-credential-helper"
