# Debian's side: the mirror, programs the build needs, and commands inside a root.

# The mirror this machine's own apt uses, so that no host name stands here and a site's mirror is respected.
debian_mirror() {
    if [ -n "${GUEST_MIRROR:-}" ]; then
        printf '%s\n' "$GUEST_MIRROR"
        return
    fi
    command -v apt-get >/dev/null ||
        die "no apt on this machine to take Debian's mirror from: set GUEST_MIRROR to a Debian mirror's URL"
    own_debian_mirror || {
        # Labels are known only after the lists were fetched once.
        apt-get update >/dev/null
        own_debian_mirror
    } || die "apt has no source of Debian itself: set GUEST_MIRROR to a Debian mirror's URL"
}

own_debian_mirror() {
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' |
        sort -u | head -n 1 | grep .
}

# Installs Debian packages on this machine for the programs that it lacks: install_missing PROGRAM…, where
# the package has the program's name.
install_missing() {
    local program missing=()
    for program in "$@"; do
        command -v "$program" >/dev/null || missing+=("$program")
    done
    ((${#missing[@]} == 0)) && return
    command -v apt-get >/dev/null || die "install ${missing[*]} first: this machine has no apt to do it with"
    step "host: apt-get update" apt-get update
    step "host: install ${missing[*]}" \
        env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"
}

# Unpacks a minimal Debian: bootstrap ROOT. In mounts of its own, so that nothing of /proc can be left behind.
bootstrap() {
    local mirror proxy='' transport=''
    mirror=$(debian_mirror)
    if command -v apt-config >/dev/null; then
        transport=$(apt-config dump Acquire | grep -E '^Acquire::(https?|Check|Retries)') || true
        # debootstrap fetches with wget, which does not know apt's proxy.
        eval "$(apt-config shell proxy Acquire::http::Proxy)"
        [ -z "$proxy" ] || export http_proxy=$proxy
    fi
    step "root: debootstrap $SUITE" \
        unshare --mount --propagation private --pid --fork --kill-child \
        debootstrap --arch=amd64 --variant=minbase "$SUITE" "$1" "$mirror"
    printf 'deb %s %s main\n' "$mirror" "$SUITE" "$mirror" "$NEWER_SUITE" >"$1/etc/apt/sources.list"
    {
        printf '%s\n' "$transport"
        printf '%s "%s";\n' APT::Install-Recommends false Acquire::Languages none
    } >"$1/etc/apt/apt.conf.d/90guest"
}

# in_root ROOT COMMAND…: in a private process and mount namespace, which ends whole when its first process
# does. /proc is mounted in it, which objtool of the kernel's build reads.
in_root() {
    local root=$1
    shift
    unshare --mount --propagation private --pid --fork --kill-child \
        sh -c 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"' "$root" \
        env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C DEBIAN_FRONTEND=noninteractive "$@"
}
