# What a guest consists of. A list's `machine` function is made of these; the options of `guest run` are the
# same, and come after it.

memory_mib=512
cpus=1
guest_seconds=300
check_seconds=60
qemu_arguments=()
kernel_arguments=()

memory() { memory_mib=$1; }                        # MIB
cpus() { cpus=$1; }                                # COUNT, up to 8
guest_seconds() { guest_seconds=$1; }              # time for the whole guest, from power-on
check_seconds() { check_seconds=$1; }              # time for each check
qemu() { qemu_arguments+=("$@"); }                 # QEMU arguments
kernel_arguments() { kernel_arguments+=("$@"); }   # words of the kernel's command line

# An IOMMU of Intel's kind. caching-mode is what lets QEMU also put a vfio-user device behind it.
iommu() { qemu -device intel-iommu,intremap=on,caching-mode=on; }

# put FILE [PATH]: a file of the host in the guest, by default in /bin. A dynamically linked program brings
# its libraries and its loader, at the places where it looks for them.
put() {
    local file=$1 path=${2:-/bin/${1##*/}} library libraries
    [ -r "$file" ] || die "put: no file $file to put in the guest"
    mkdir -p "$RUN/overlay${path%/*}"
    cp -L "$file" "$RUN/overlay$path"
    libraries=$(ldd "$file" 2>/dev/null) || return 0 # a script, data, or a static program
    ! grep 'not found' <<<"$libraries" >&2 || die "put: $file lacks a library"
    sed -nE 's/^\s*(.* => )?(\/.*) \(0x.*/\2/p' <<<"$libraries" | while read -r library; do
        mkdir -p "$RUN/overlay${library%/*}"
        cp -Lu "$library" "$RUN/overlay$library"
    done
}

# share TAG FOLDER [readonly=off]: a folder of the host for the guest to mount:
# mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 TAG /mnt
share() { qemu -virtfs "local,path=$2,mount_tag=$1,security_model=none,${3:-readonly=on}"; }

# vfio_user ADDRESS SOCKET: a PCI device that is served on a vfio-user socket, in slot ADDRESS (as `5` or
# `5.0`). The server must be there within 10 s.
vfio_user() {
    wait_for "$2" 10
    qemu -device '{"driver":"vfio-user-pci","addr":"'"$1"'","socket":{"path":"'"$2"'","type":"unix"}}'
}

# helper NAME COMMAND…: starts a background process on the host, in a process group of its own, its output in
# $RUN/NAME.log. It is ended after the guest; if it fails before, the run fails.
helper() {
    local name=$1
    shift
    rm -f "$RUN/$name.status"
    spawn keep_status "$RUN/$name.status" "$@" >"$RUN/$name.log" 2>&1 </dev/null
    disown "$spawned"
    printf '%s\n' "$spawned" >"$RUN/$name.pid"
}

# keep_status FILE COMMAND…: for who cannot wait, because another shell started it.
keep_status() {
    local status=0
    "${@:2}" || status=$?
    printf '%s\n' "$status" >"$1"
}

# end_helper NAME [SIGNAL]: ends it early, on purpose; `helper` may start it again.
end_helper() {
    local group
    group=$(cat "$RUN/$1.pid")
    rm "$RUN/$1.pid"
    [ -z "${2:-}" ] || kill -s "$2" -- "-$group"
    end_group "$group"
}

end_helpers() {
    local file
    for file in "$RUN"/*.pid; do
        [ ! -e "$file" ] || end_group "$(cat "$file")"
    done
}

# wait_for PATH SECONDS: waits until a helper has made its socket or file.
wait_for() {
    local end=$((SECONDS + $2))
    until [ -e "$1" ]; do
        sleep 0.1
        report_dead_helpers || die "a helper failed before it made $1"
        ((SECONDS < end)) || die "nothing made $1 within $2 s; the helpers' logs are in $RUN"
    done
}

# Tells of each helper that failed unasked, once; false if there is one.
report_dead_helpers() {
    local file name status result=0
    for file in "$RUN"/*.pid; do
        [ -e "$file" ] && ! alive "$(cat "$file")" || continue
        name=${file##*/}
        name=${name%.pid}
        rm "$file"
        status=$(cat "$RUN/$name.status" 2>/dev/null) || status='killed'
        [ "$status" != 0 ] || continue
        printf 'not ok helper %s: ended by itself (exit %s)\n' "$name" "$status"
        tail -n 20 "$RUN/$name.log" | sed 's/^/    | /'
        result=1
    done
    return "$result"
}

# Puts the guest's programs at the end of the PATH, for a host that has no socat or ping of its own.
lend_programs() {
    local name program
    mkdir "$RUN/bin"
    for name in "${TOOLS[@]}"; do
        ! command -v "$name" >/dev/null || continue
        root_program "$root/rootfs" "$name"
        printf '#!/bin/sh\nexec%s "$@"\n' "$(printf ' %q' "${program[@]}")" >"$RUN/bin/$name"
        chmod 755 "$RUN/bin/$name"
    done
    PATH=$PATH:$RUN/bin
}
