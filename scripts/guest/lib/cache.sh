# The cache of what is built: one folder an entry, named by its kind and the key of what it is made from.
# An entry is built in a folder tmp.* and renamed when whole, so whatever has an entry's name is complete.

cache=${XDG_CACHE_HOME:-$HOME/.cache}/pmd-kit/guest

# Sets `root`, `initramfs` and `kernel` to the current entries, as far as they can be told yet; true if all
# of them are there. The keys of the later ones need the root, which knows versions.
locate() {
    initramfs='' kernel=''
    root=$cache/root-$(root_key)
    [ -d "$root" ] || return 1
    initramfs=$cache/initramfs-$(initramfs_key)
    [ -s "$(kernel_packages_file)" ] || return 1
    kernel=$cache/kernel-$(kernel_key)
    [ -d "$initramfs" ] && [ -d "$kernel" ]
}

# Waits for a lock on descriptor 9 (one build at a time) or 8 (guests share it; removing entries does not).
# Open for reading only, so that a user may run guests on what root has built.
take_lock() { # FILE DESCRIPTOR FLOCK-OPTION WHAT-IS-WAITED-FOR
    mkdir -p "$cache"
    [ -e "$cache/$1" ] || : >>"$cache/$1"
    eval "exec $2<\"\$cache/$1\""
    flock "$3" --nonblock "$2" && return
    say "waiting for $4 (lock $cache/$1)"
    flock "$3" "$2"
}
take_build_lock() { take_lock build.lock 9 --exclusive 'another build to end'; }
share_entries() { take_lock use.lock 8 --shared 'another run to finish its clean-up'; }
own_entries() { take_lock use.lock 8 --exclusive 'the running guests to end'; }

# entry PATH BUILDER: builds an entry that is not there; BUILDER gets the folder to fill.
entry() {
    local path=$1 name start=$SECONDS tmp
    name=${path##*/}
    [ -d "$path" ] && return
    say "building $name"
    log=$cache/${name%%-*}.log
    : >"$log"
    tmp=$(mktemp -d "$cache/tmp.${name%%-*}.XXXXXX")
    chmod 755 "$tmp"
    at_exit remove_tree "$tmp"
    "$2" "$tmp"
    mv -T "$tmp" "$path"
    say "built $name in $((SECONDS - start)) s, $(du -sh "$path" | cut -f 1)"
}

# Removes a tree that a build may just have been writing to, but nothing that is mounted in it.
remove_tree() { rm -rf --one-file-system "$1"; }

# Builds what is missing.
build() {
    local start=$SECONDS
    if locate; then
        say "everything is built"
        return
    fi
    [ "$(uname -m)" = x86_64 ] || die "the guest is an x86-64 Debian; this machine is $(uname -m)"
    ((EUID == 0)) || die "building the guest's root needs root: run '$0 build' as root once (HOME or XDG_CACHE_HOME name the cache)"
    take_build_lock
    find "$cache" -maxdepth 1 -name 'tmp.*' -exec rm -rf --one-file-system {} +

    locate || true
    entry "$root" build_root
    locate || true
    entry "$initramfs" build_initramfs
    if [ -z "$kernel" ] || [ ! -d "$kernel" ]; then
        # The lists may be older than what the mirror still has; the key follows what they say now.
        log=$cache/kernel.log
        step "kernel: apt-get update" in_root "$root/rootfs" apt-get update
        list_kernel_packages
        locate || true
        entry "$kernel" build_kernel
    fi
    locate || die "what was built is not what is wanted: did a file in $here change meanwhile? run '$0 build' again"
    exec 9>&-
    say "all built in $((SECONDS - start)) s"
}

# Removes the root, so that the next build takes the versions that Debian has now.
forget_root() {
    own_entries
    locate || true
    remove_tree "$root"
    exec 8>&-
}

# Removes the entries that nothing in this tree would use.
clean() {
    local path
    take_build_lock
    own_entries
    locate || true
    for path in "$cache"/{root,initramfs,kernel}-*/ "$cache"/tmp.*/; do
        path=${path%/}
        case $path in
        "$root" | "$initramfs" | "$kernel" | *'*') ;;
        *)
            say "removing ${path##*/}"
            remove_tree "$path"
            ;;
        esac
    done
}
