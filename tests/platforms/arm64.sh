#!/usr/bin/env bash
# Deno for Linux on arm64, under QEMU: what follows is what a user of such a machine types behind `npx -y deno`, as in
#
#   tests/platforms/arm64.sh task build-engine
#
# Without arguments it only makes what it needs in the folder that UNFOLD_ARM64 names (104 MB): Debian 13's QEMU, since
# that of Debian 12 does not run ONNX Runtime, the C and C++ libraries of its cross compiler, and Deno. Needs npm, and
# debootstrap, which it installs where there is apt-get.
set -euo pipefail
folder=${UNFOLD_ARM64:-${XDG_CACHE_HOME:-$HOME/.cache}/unfold/arm64}
deno=2.9.6
sha256=8e32a9c72c84c14f91fde26efbef0b5f347286f3c68b4b7d4b8040ae9e6f42ec

if [ ! -e "$folder/deno" ]; then
  mkdir -p "$(dirname "$folder")"
  part=$(mktemp -d "$folder.XXXXXX.part")
  trap 'rm -rf "$part"' EXIT
  {
    command -v debootstrap || { apt-get update && apt-get install -y --no-install-recommends debootstrap; }
    packages=qemu-user,libc6-arm64-cross,libgcc-s1-arm64-cross,libstdc++6-arm64-cross
    # It checks Debian's signatures; nothing of what it brings is installed.
    debootstrap --download-only --variant=minbase "--include=$packages" trixie "$part/debian"
    for package in ${packages//,/ }; do
      dpkg-deb -x "$part/debian/var/cache/apt/archives/$package"_*.deb "$part/unpacked"
    done
    mv "$part/unpacked/usr/bin/qemu-aarch64" "$part/unpacked/usr/aarch64-linux-gnu" "$part/"
    (cd "$part" && npm pack --silent "@deno/linux-arm64-glibc@$deno")
    tarball="$part/deno-linux-arm64-glibc-$deno.tgz"
    echo "$sha256  $tarball" | sha256sum --check
    tar -xzf "$tarball" -C "$part" --strip-components=1 package/deno
    rm -rf "$tarball" "$part/debian" "$part/unpacked"
    "$part/qemu-aarch64" -L "$part/aarch64-linux-gnu" "$part/deno" --version
    chmod 755 "$part"
  } >&2
  mv "$part" "$folder"
fi
[ $# = 0 ] || exec "$folder/qemu-aarch64" -L "$folder/aarch64-linux-gnu" "$folder/deno" "$@"
