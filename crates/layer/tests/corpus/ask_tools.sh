#!/bin/bash
# Runs inside the root made by make_expected.sh: asks every oracle about every case.
# usage: ask_tools.sh CASES_DIR IMPORTER
# Leaves in each case's directory: layer.N.importer, merged.importer, N.ostree, merged.tar (each either
# `ostree ls -R -C -X` or a line `refused: ...`).
export LC_ALL=C.UTF-8 G_MESSAGES_DEBUG= RUST_BACKTRACE=0
cases=$1 importer=$2

listing() { # REPO REV
  ostree --repo="$1" ls -R -C -X "$2" / 2>&1
}

# What a failed tool said, in one line.
refused() {
  echo "refused: $(grep -v '^layers already present\|^$' "$1" | tr -s ' \n' ' ' | tr -c '[:print:]' '?' | sed 's/^error: //I' | cut -c1-300)"
}

# `fsck` of what a tool accepted.
check() {
  ostree --repo=repo fsck >log 2>&1 && echo "fsck: clean" || echo "fsck: $(grep -m1 -i 'corrupt\|error' log | tail -c 200)"
}

ask_importer() {
  ostree --repo=repo init --mode=bare
  if timeout 120 "$importer" container image pull repo ostree-unverified-image:oci:oci >log 2>&1; then
    listing repo "$(ostree --repo=repo refs | grep '^ostree/container/image/')" >merged.importer
    check >fsck.importer
  else
    refused log >merged.importer
  fi
  local index=0 digest
  for digest in $(jq -r '.layers[].digest' "oci/blobs/sha256/$(jq -r '.manifests[0].digest' oci/index.json | cut -d: -f2)"); do
    if ostree --repo=repo rev-parse "ostree/container/blob/${digest/:/_3A_}" >/dev/null 2>&1; then
      listing repo "ostree/container/blob/${digest/:/_3A_}" >layer.$index.importer
    else
      echo "refused:" >layer.$index.importer
    fi
    index=$((index + 1))
  done
  rm -rf repo
}

ask_ostree() {
  ostree --repo=repo init --mode=bare
  local archive
  for archive in [0-9].tar; do
    if timeout 120 ostree --repo=repo commit -b x --tree=tar="$archive" --tar-autocreate-parents --no-bindings >log 2>&1; then
      listing repo x >"${archive%.tar}.ostree"
      check >fsck.ostree
    else
      refused log >"${archive%.tar}.ostree"
    fi
  done
  rm -rf repo
}

ask_tar() {
  ostree --repo=repo init --mode=bare
  mkdir tree
  local archive
  for archive in [0-9].tar; do
    if ! timeout 120 tar --numeric-owner --xattrs --xattrs-include='*' -xpf "$archive" -C tree >log 2>&1; then
      refused log >merged.tar
      rm -rf repo tree
      return
    fi
  done
  if ostree --repo=repo commit -b x --tree=dir=tree --no-bindings >log 2>&1; then
    listing repo x >merged.tar
    check >fsck.tar
  else
    refused log >merged.tar
  fi
  rm -rf repo tree
}

for dir in "$cases"/*/; do
  cd "$dir"
  ask_importer
  ask_ostree
  ask_tar
  cd /
done
