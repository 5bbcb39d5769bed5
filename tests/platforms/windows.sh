#!/usr/bin/env bash
# Deno for Windows, under Wine: what follows is what a user of Windows types behind `npx -y deno`, as in
#
#   tests/platforms/windows.sh task build-engine
#
# Without arguments it only makes what it needs in the folder that UNFOLD_WINE names (2.6 GB): Debian 13 by debootstrap,
# since the Wine of Debian 12 does not run Deno, a Wine prefix in it, and Deno. Needs root, npm and debootstrap, which it
# installs where there is apt-get. The working folder is this machine's, whose root is Z:\host there.
set -euo pipefail
folder=${UNFOLD_WINE:-${XDG_CACHE_HOME:-$HOME/.cache}/unfold/wine}
deno=2.9.6
sha256=559b622e642210e0f0af0e4581953a0a9679a21968a57b7dc8a1b1a91d09b67f

# Runs a program of Debian's in the folder "$1", in a mount namespace of its own that ends with it.
inside() {
  exec unshare --mount bash -euc '
    root=$1; shift
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount --rbind / "$root/host"
    cp /etc/resolv.conf /etc/hosts "$root/etc/"
    certificates=${DENO_CERT:-${SSL_CERT_FILE:-}}
    exec chroot "$root" /usr/bin/env -i PATH=/usr/bin:/bin LANG=C.UTF-8 HOME=/root XDG_RUNTIME_DIR=/run \
      WINEPREFIX=/prefix WINEDEBUG=-all WINEDLLOVERRIDES=mscoree,mshtml= \
      DENO_DIR="Z:\\deno_dir" DENO_NO_UPDATE_CHECK=1 NO_COLOR=1 ORT_DISABLE_TELEMETRY=1 \
      ${certificates:+DENO_CERT="Z:\\host$certificates"} ${UNFOLD_TENSORRT_LIB:+UNFOLD_TENSORRT_LIB="$UNFOLD_TENSORRT_LIB"} \
      ${NPM_CONFIG_REGISTRY:+NPM_CONFIG_REGISTRY="$NPM_CONFIG_REGISTRY"} ${PIP_INDEX_URL:+PIP_INDEX_URL="$PIP_INDEX_URL"} \
      ${HTTP_PROXY:+HTTP_PROXY="$HTTP_PROXY"} ${HTTPS_PROXY:+HTTPS_PROXY="$HTTPS_PROXY"} ${NO_PROXY:+NO_PROXY="$NO_PROXY"} \
      /bin/sh -c "cd \"/host\$0\" && exec \"\$@\"" "$PWD" "$@"
  ' bash "$@"
}

if [ ! -e "$folder/deno.exe" ]; then
  [ "$(id -u)" = 0 ] || { echo "windows.sh: root alone can make a Debian for Wine" >&2; exit 1; }
  mkdir -p "$(dirname "$folder")"
  part=$(mktemp -d "$folder.XXXXXX.part")
  trap 'rm -rf --one-file-system "$part"' EXIT
  {
    command -v debootstrap || { apt-get update && apt-get install -y --no-install-recommends debootstrap; }
    debootstrap --variant=minbase --include=wine64,wine,libwine trixie "$part"
    rm -rf --one-file-system "$part"/var/cache/apt/* "$part"/var/lib/apt/lists/*
    mkdir -p "$part/host" "$part/deno_dir"
    (cd "$part" && npm pack --silent "@deno/win32-x64@$deno")
    tarball="$part/deno-win32-x64-$deno.tgz"
    echo "$sha256  $tarball" | sha256sum --check
    tar -xzf "$tarball" -C "$part" package/deno.exe
    rm "$tarball"
    # The first program that runs makes the prefix.
    (inside "$part" /usr/lib/wine/wine64 /package/deno.exe --version)
    sleep 4 # Until Wine's server has ended, which would go on in the folder's old place.
    mv "$part/package/deno.exe" "$part/deno.exe"
  } >&2
  mv "$part" "$folder"
fi
[ $# = 0 ] || inside "$folder" /usr/lib/wine/wine64 /deno.exe "$@"
