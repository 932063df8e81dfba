# The root: a small Debian that holds QEMU, its firmware, and the programs for the initramfs.
#
#   root-KEY/rootfs       the Debian
#   root-KEY/versions     name=version of every package in it
#   root-KEY/kernel-…     what building a kernel would install, by version (see kernel.sh)

root_key() {
    {
        cat "$here/lib/root.sh" "$here/lib/debian.sh"
        printf '%s\n' "$SUITE" "$NEWER_SUITE" "${QEMU_PACKAGES[@]}" -- "${TOOL_PACKAGES[@]}"
    } | key
}

build_root() {
    local rootfs=$1/rootfs
    install_missing debootstrap
    bootstrap "$rootfs"
    step "root: apt-get update" in_root "$rootfs" apt-get update
    step "root: install ${QEMU_PACKAGES[*]}" \
        in_root "$rootfs" apt-get install -y -t "$NEWER_SUITE" "${QEMU_PACKAGES[@]}"
    step "root: install ${TOOL_PACKAGES[*]}" in_root "$rootfs" apt-get install -y "${TOOL_PACKAGES[@]}"
    in_root "$rootfs" apt-get clean
    in_root "$rootfs" dpkg-query -W -f '${Package}=${Version}\n' >"$1/versions"

    root_program "$rootfs" qemu-system-x86_64
    # Captured first: `grep -q` would close the pipe early, and QEMU would end by a signal.
    local devices device
    devices=$("${program[@]}" -device help)
    for device in vfio-user-pci igb intel-iommu; do
        grep -q "^name \"$device\"" <<<"$devices" ||
            die "$(grep ^qemu-system-x86= "$1/versions") has no device $device: QEMU 10.1 or later is needed"
    done
}

# root_program ROOTFS NAME: sets `program` to the start of a command line that runs it from outside: through
# the root's own loader and libraries. No chroot, so no root rights or mounts are needed to run a guest, and
# QEMU sees the host's files and sockets under their own names; nothing of the host's libc is used.
root_program() {
    local rootfs=$1 lib=$1/usr/lib/x86_64-linux-gnu path
    for path in "$rootfs"/usr/{bin,sbin}/"$2"; do
        [ -x "$path" ] || continue
        program=("$lib/ld-linux-x86-64.so.2" --argv0 "$2" --library-path "$lib" "$path")
        case $2 in
        qemu-system-*)
            # QEMU looks for its modules and firmware where Debian put them, which is elsewhere here.
            program=(env "QEMU_MODULE_DIR=$lib/qemu" "${program[@]}"
                -L "$rootfs/usr/share/qemu" -L "$rootfs/usr/share/seabios")
            ;;
        esac
        return
    done
    die "the root $rootfs has no program $2"
}
