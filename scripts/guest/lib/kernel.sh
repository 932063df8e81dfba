# The kernel: Debian's source of the series in packages.sh, `make tinyconfig` plus kernel.config.
#
#   kernel-KEY/bzImage  config  packages
#
# The compiler and the source live in a copy of the root that is thrown away afterwards (3 GB).

# The file, beside the root, that lists what a kernel build would install: `source NAME` and name=version
# lines. It is part of the kernel's key, so that the key names versions and can still be told without root
# rights and without network.
kernel_packages_file() {
    printf '%s/kernel-%s\n' "$root" "$(printf '%s\n' "$KERNEL_SERIES" "${KERNEL_PACKAGES[@]}" | key)"
}

kernel_key() { cat "$here/lib/kernel.sh" "$here/kernel.config" "$(kernel_packages_file)" | key; }

# The source package of the wanted series or, where Debian dropped that, of the next later one.
choose_kernel_source() {
    local names wanted=linux-source-$KERNEL_SERIES
    names=$(in_root "$root/rootfs" apt-cache pkgnames linux-source- | grep -E '^linux-source-[0-9.]+$' | sort -V)
    if ! grep -qx "$wanted" <<<"$names"; then
        # What sorts after the wanted one, once that is put among them
        names=$(printf '%s\n' "$names" "$wanted" | sort -V | sed "1,/^$wanted\$/d")
        [ -n "$names" ] || die "Debian $NEWER_SUITE has no linux-source-$KERNEL_SERIES or later"
        say "Debian has no $wanted any more: taking $(head -n 1 <<<"$names")"
    fi
    grep -x "$wanted" <<<"$names" || head -n 1 <<<"$names"
}

list_kernel_packages() {
    local file source plan
    file=$(kernel_packages_file)
    source=$(choose_kernel_source)
    plan=$(in_root "$root/rootfs" apt-get install -s -t "$NEWER_SUITE" "$source" "${KERNEL_PACKAGES[@]}")
    {
        printf 'source %s\n' "$source"
        sed -nE 's/^Inst ([^ ]+) (\[[^]]*\] )?\(([^ ]+) .*/\1=\3/p' <<<"$plan" | sort
    } >"$file.new"
    mv "$file.new" "$file"
}

# check_config FRAGMENT CONFIG: is each option of the fragment in the configuration, as asked for?
check_config() {
    local line status=0
    while read -r line; do
        grep -qxF -- "$line" "$2" && continue
        printf 'not in the final configuration (a dependency is missing, or the name is gone): %s\n' "$line"
        status=1
    done < <(grep -vE '^(#.*)?$' "$1")
    return "$status"
}

build_kernel() {
    local work=$1/work source tree
    source=$(sed -n 's/^source //p' "$(kernel_packages_file)")
    tree=/usr/src/$source
    step "kernel: copy the root" cp -a --reflink=auto "$root/rootfs" "$work"
    step "kernel: install $source and the compiler" \
        in_root "$work" apt-get install -y -t "$NEWER_SUITE" "$source" "${KERNEL_PACKAGES[@]}"
    step "kernel: unpack $source" in_root "$work" tar -C /usr/src -xf "$tree.tar.xz"
    cp "$here/kernel.config" "$work$tree/guest.config"
    [ "$cache/kernel-$(kernel_key)" = "$kernel" ] || die 'kernel.config changed since this build began: start it again'
    step "kernel: tinyconfig and kernel.config" in_root "$work" sh -ec "
        cd $tree
        make tinyconfig
        scripts/kconfig/merge_config.sh -m .config guest.config
        make olddefconfig"
    step "kernel: check the configuration" check_config "$here/kernel.config" "$work$tree/.config"
    step "kernel: compile" in_root "$work" nice -n 10 \
        make -C "$tree" -j "$(nproc)" KBUILD_BUILD_USER=guest KBUILD_BUILD_HOST=guest bzImage
    cp "$work$tree/arch/x86/boot/bzImage" "$1/bzImage"
    cp "$work$tree/.config" "$1/config"
    cp "$(kernel_packages_file)" "$1/packages"
    rm -rf --one-file-system "$work"
}
