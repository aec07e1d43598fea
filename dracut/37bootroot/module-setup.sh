#!/bin/bash
# The dracut module of bootroot: mounts roots that are images of composefs. `dracut --add bootroot` installs it; so does
# `add_dracutmodules+=" bootroot "` in /usr/lib/dracut/dracut.conf.d, where images opt in.

# Only for those who ask for it.
check() {
    require_binaries bootroot || return 1
    return 255
}

installkernel() {
    hostonly='' instmods erofs overlay
}

install() {
    local unit=bootroot-setup-root.service
    local target=$systemdsystemunitdir/initrd-root-fs.target.wants
    inst_multiple bootroot
    inst_simple "$moddir/$unit" "$systemdsystemunitdir/$unit"
    mkdir -p "$initdir$target"
    ln_r "$systemdsystemunitdir/$unit" "$target/$unit"
    # What the image says about /etc and /var holds from the beginning.
    [ ! -e "$dracutsysrootdir/usr/lib/composefs/setup-root-conf.toml" ] || inst_simple /usr/lib/composefs/setup-root-conf.toml
}
