# The base initramfs: static busybox, the programs of packages.sh with their libraries, and image/*.
#
#   initramfs-KEY/base.cpio.gz
#
# The programs keep their libraries and loader to themselves in /tools, behind a wrapper in /bin: the places
# where a loader looks by default stay free for the libraries of the host's own programs, which a run adds.

initramfs_key() {
    {
        cat "$here/lib/initramfs.sh" "$here"/image/* "$root/versions"
        printf '%s\n' "${TOOLS[@]}"
    } | key
}

build_initramfs() {
    local tree=$1/tree
    step "initramfs: lay out" lay_out_initramfs "$root/rootfs" "$tree"
    step "initramfs: pack" pack_initramfs "$tree" "$1/base.cpio.gz"
    rm -rf "$tree"
}

lay_out_initramfs() {
    local rootfs=$1 tree=$2 name
    mkdir -p "$tree"/{bin,dev,etc,guest,mnt,proc,root,run,sys,tmp,tools/bin,tools/lib,var}
    ln -s bin "$tree/sbin"
    ln -s ../run "$tree/var/run"
    printf 'root:x:0:0:root:/root:/bin/sh\n' >"$tree/etc/passwd"
    printf 'root:x:0:\n' >"$tree/etc/group"
    printf '127.0.0.1 localhost\n::1 localhost\n' >"$tree/etc/hosts"

    cp "$rootfs/usr/bin/busybox" "$tree/bin/busybox"
    for name in $("$tree/bin/busybox" --list); do
        [ "$name" = busybox ] || ln -s busybox "$tree/bin/$name"
    done
    cp -L "$rootfs/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" "$tree/tools/ld.so"
    for name in "${TOOLS[@]}"; do add_tool "$rootfs" "$tree" "$name"; done
    rm -f "$tree/bin/sh"
    ln -s bash "$tree/bin/sh"

    install -m 755 "$here/image/init" "$tree/init"
    install -m 755 "$here/image/runner" "$tree/guest/runner"
    install -m 644 "$here/image/prelude.sh" "$tree/guest/prelude.sh"
}

add_tool() {
    local rootfs=$1 tree=$2 name=$3 library program
    root_program "$rootfs" "$name"
    cp -L "${program[-1]}" "$tree/tools/bin/$name"
    "${program[0]}" --library-path "$rootfs/usr/lib/x86_64-linux-gnu" --list "${program[-1]}" |
        sed -nE 's/.* => (\/.*) \(0x.*/\1/p' |
        while read -r library; do cp -Lu "$library" "$tree/tools/lib/"; done
    # Not through the link to busybox that may be there
    rm -f "$tree/bin/$name"
    cat >"$tree/bin/$name" <<END
#!/bin/busybox sh
exec /tools/ld.so --argv0 $name --library-path /tools/lib /tools/bin/$name "\$@"
END
    chmod 755 "$tree/bin/$name"
}

# pack_initramfs TREE FILE: an archive as the kernel unpacks it, with everything owned by root.
pack_initramfs() {
    (cd "$1" && find . | sort | "$root/rootfs/usr/bin/busybox" cpio --quiet -o -H newc -R 0:0) |
        gzip -n -6 >"$2"
}
