#!/bin/bash
# Makes the corpus again: the archives, and in expected/ what the real tools make of them. CI replays the
# recordings; this only runs when a case is added or the tools have moved on.
#
# Needs: root, mmdebstrap, python3, a Debian mirror, and the source tree of bootc, whose crate ostree-ext
# is the importer to agree with (it is built here, in the root, with the host's cargo; where its
# dependency composefs-ctl cannot be fetched from git, point it at the registry first).
# usage: make_expected.sh WORKDIR BOOTC_SOURCE
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mkdir -p "$1" && cd "$1" && pwd)
source=$(cd "$2" && pwd)
root=$work/root

if [ ! -d "$root/usr" ]; then
  mmdebstrap --aptopt='Acquire::Check-Valid-Until "false"' --aptopt='Apt::Install-Recommends "false"' \
    --variant=minbase --include=ostree,libostree-dev,gcc,libc6-dev,pkg-config,libssl-dev,zlib1g-dev,libzstd-dev,skopeo,ca-certificates,attr,zstd,jq \
    sid "$work/root.tar"
  mkdir -p "$root"
  tar -C "$root" -xf "$work/root.tar"
fi

# A command in the root, in name spaces of its own; directories after `--with` are visible inside.
inside() {
  local with=()
  while [ "$1" = --with ]; do with+=("$2"); shift 2; done
  unshare -m -p -f --kill-child --propagation private bash -c '
    root=$1 count=$2; shift 2
    mount --bind "$root" "$root"
    mount --rbind /dev "$root/dev"
    mount -t proc proc "$root/proc"
    for ((i = 0; i < count; i++)); do mkdir -p "$root$1"; mount --bind "$1" "$root$1"; shift; done
    export HOME=/root LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin:/root/.cargo/bin
    exec chroot "$root" "$@"' inside "$root" "${#with[@]}" ${with[@]+"${with[@]}"} "$@"
}

if [ ! -x "$root/usr/local/bin/ostree-ext-cli" ]; then
  mkdir -p "$work/cli/src"
  cat >"$work/cli/Cargo.toml" <<TOML
[package]
name = "cli"
version = "0.1.0"
edition = "2021"
[dependencies]
anyhow = "1"
ostree-ext = { path = "$source/crates/ostree-ext" }
tokio = { version = "1", features = ["full"] }
[workspace]
TOML
  cat >"$work/cli/src/main.rs" <<'RUST'
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    ostree_ext::cli::run_from_iter(std::env::args_os()).await
}
RUST
  cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
  cp -L /etc/resolv.conf "$root/etc/"
  inside --with "$work/cli" --with "$source" --with "$HOME/.cargo" --with "$HOME/.rustup" \
    bash -c "cd '$work/cli' && cargo build"
  cp "$work/cli/target/debug/cli" "$root/usr/local/bin/ostree-ext-cli"
fi

rm -rf "$here/archives" "$here/expected" "$root/var/tmp/cases"
mkdir -p "$root/var/tmp/cases"
python3 "$here/make_archives.py" "$here"
python3 "$here/oci_layouts.py" "$here" "$root/var/tmp/cases"
cp "$here/ask_tools.sh" "$root/var/tmp/"
inside bash /var/tmp/ask_tools.sh /var/tmp/cases /usr/local/bin/ostree-ext-cli
python3 "$here/collate.py" "$here" "$root/var/tmp/cases"
{
  inside dpkg-query -W ostree libostree-1-1 libarchive13t64 skopeo tar
  version() { sed -n 's/^version = "\(.*\)"/\1/p' "$source/crates/$1/Cargo.toml" | head -1; }
  printf 'ostree-ext\t%s (bootc %s)\n' "$(version ostree-ext)" "$(version lib)"
} >"$here/TOOL_VERSIONS"
