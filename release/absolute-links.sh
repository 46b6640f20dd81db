#!/usr/bin/env bash
# Reads a Markdown page of the top directory and prints it with absolute links, for pages that show it outside of the
# repository, such as Artifact Hub: links lead to GitHub's page of the file, and pictures to the file itself, at this version's tag.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version="v$(awk -F'"' '/^version = / { print $2; exit }' Cargo.toml)"
page="https://github.com/acr-credential-helper/acr-credential-helper/blob/$version"
file="https://raw.githubusercontent.com/acr-credential-helper/acr-credential-helper/$version"
# A link with a colon has a scheme, and one that begins with # stays on the page.
sed -E \
  -e "s#!\[([^]]*)\]\(([^:)]+)\)#![\1]($file/\2)#g" \
  -e "s#(<img[^>]* src=|<source[^>]* srcset=)\"([^:\"]+)\"#\1\"$file/\2\"#g" \
  -e "s#\]\(([^:)\#][^:)]*)\)#]($page/\1)#g" \
  -e "s#(<a[^>]* href=)\"([^:\"\#][^:\"]*)\"#\1\"$page/\2\"#g"
