#!/usr/bin/env bash
# Packs the binaries that `make binary` put into dist/ (or DIRECTORY), each with the licence, and writes what is released beside
# the archives: checksums.txt, acr.yaml for krew, and hauler-manifest.yaml. Everything is in DIRECTORY/release afterwards.
#
# Usage: release/pack.sh [DIRECTORY]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

dist="${1:-dist}"
out="$dist/release"
name=acr-credential-sidecar
number="$(awk -F'"' '/^version = / { print $2; exit }' Cargo.toml)"
version="v$number"
repository=https://github.com/acr-credential-helper/acr-credential-helper
registry=ghcr.io/acr-credential-helper

binaries=("$dist"/{linux,darwin,windows}_*/"$name"*)
rm -rf "$out"
mkdir -p "$out"
stage="$(mktemp -d)"
trap 'rm -rf "$stage"' EXIT

platforms=
for binary in "${binaries[@]}"; do
  # A pattern that matched nothing.
  [[ -f "$binary" ]] || continue
  platform="$(basename "$(dirname "$binary")")"
  file="$(basename "$binary")"
  archive="${name}_${version}_$platform.tar.gz"
  # Modes, times and owners that do not depend on the machine, so that the same binary makes the same archive.
  install -m 755 "$binary" "$stage/$file"
  install -m 644 LICENSE "$stage/LICENSE"
  tar --create --directory "$stage" --owner=0 --group=0 --numeric-owner --mtime=@0 "$file" LICENSE | gzip -9n > "$out/$archive"
  rm "$stage/$file"
  platforms+="
  - selector:
      matchLabels:
        os: ${platform%_*}
        arch: ${platform#*_}
    uri: $repository/releases/download/$version/$archive
    sha256: $(sha256sum "$out/$archive" | cut -d' ' -f1)
    bin: $file"
done
[[ -n "$platforms" ]] || { echo "$dist has no binaries: run \`make binary\` first" >&2; exit 1; }
# krew installs the binary as kubectl-acr.
cat > "$out/acr.yaml" <<YAML
apiVersion: krew.googlecontainertools.github.com/v1alpha2
kind: Plugin
metadata:
  name: acr
spec:
  version: $version
  homepage: $repository
  shortDescription: Explain image pulls from Alibaba Cloud ACR
  description: |
    Explains why a Pod can or cannot pull its images from Alibaba Cloud Container Registry (ACR):

      kubectl acr explain pod web

    It also checks a configuration, mints credentials for docker, and shows the state of the controller that keeps pull
    secrets fresh.
  platforms:$platforms
YAML

cat > "$out/hauler-manifest.yaml" <<YAML
# hauler store sync --filename hauler-manifest.yaml
apiVersion: content.hauler.cattle.io/v1
kind: Images
metadata:
  name: acr-credential-helper-images
spec:
  images:
    - name: $registry/acr-credential-sidecar:$version
    - name: $registry/acr-credential-helper-policy:$version
---
apiVersion: content.hauler.cattle.io/v1
kind: Charts
metadata:
  name: acr-credential-helper-charts
spec:
  charts:
    - name: acr-credential-helper
      repoURL: oci://$registry/charts
      version: $number
YAML
(cd "$out" && sha256sum -- * > ../checksums.txt && mv ../checksums.txt .)
ls -l "$out"
