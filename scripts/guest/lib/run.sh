# Runs the checks of a list in a guest and reports them.

# The checks of a list file, in its order.
checks_of() { sed -nE 's/^check_([a-z0-9_]+)\(\).*/\1/p' "$1"; }

# A list by its name in checks/, or by path.
find_list() {
    local path
    for path in "$1" "$here/checks/$1.sh"; do
        [ -f "$path" ] && [ -n "$(checks_of "$path")" ] || continue
        printf '%s\n' "$path"
        return
    done
    die "no list of checks $1; there are: $(cd "$here/checks" && printf '%s ' *.sh | sed 's/\.sh//g')" 2
}

run_usage() {
    cat >&2 <<END
usage: guest run LIST [options] [-- QEMU arguments]
  LIST                       a name in $here/checks, or a file
  --only PATTERN             only the checks that match (a shell pattern); may be repeated
  --verbose                  the output of checks that pass, too
  --shell                    no checks: a shell on this terminal, on the list's machine (ends with exit)
  --keep                     keep the run's folder (console, logs) also when all is well
  --memory MIB  --cpus N  --guest-seconds N  --check-seconds N  --iommu
  --put FILE                 put a file of the host in the guest's /bin, with its libraries
  --share TAG=FOLDER         let the guest mount a folder (9p), read-only
  --helper COMMAND           a shell command that runs on the host as long as the guest does
  --vfio-user SLOT=SOCKET    a PCI device served on a vfio-user socket
END
    exit 2
}

keep=

run() {
    local list only=() verbose='' shell='' options=() names=()
    (($# > 0)) || run_usage
    [[ $1 != -* ]] || run_usage
    list=$(find_list "$1")
    shift
    while (($# > 0)); do
        case $1 in
        --verbose) verbose=1 ;;
        --shell) shell=1 ;;
        --keep) keep=1 ;;
        --iommu) options+=("iommu") ;;
        --)
            shift
            (($# == 0)) || options+=("qemu $(printf '%q ' "$@")")
            break
            ;;
        --only | --memory | --cpus | --guest-seconds | --check-seconds | --put | --share | --helper | --vfio-user)
            (($# > 1)) || run_usage
            run_option "$1" "$2"
            shift
            ;;
        *) run_usage ;;
        esac
        shift
    done
    choose_checks

    locate || build
    share_entries
    locate || die "the cache was emptied meanwhile: run this again"
    RUN=$(mktemp -d "${TMPDIR:-/tmp}/guest.XXXXXX")
    at_exit end_run
    mkdir "$RUN/overlay"
    lend_programs
    # shellcheck source=checks/smoke.sh
    . "$list"
    if declare -F machine >/dev/null; then machine; fi
    local option
    for option in "${options[@]}"; do eval "$option"; done
    pack_overlay "$list"
    if [ -n "$shell" ]; then
        shell_in_guest
    else
        check_in_guest
    fi
}

# An option that has a value, as the call of machine.sh that it stands for.
run_option() {
    local value
    value=$(printf '%q' "$2")
    case $1 in
    --only) only+=("$2") ;;
    --put) options+=("put $value") ;;
    --helper) options+=("helper helper-${#options[@]} bash -c $value") ;;
    --share | --vfio-user)
        [[ $2 == ?*=?* ]] || run_usage
        value=$(printf '%q %q' "${2%%=*}" "${2#*=}")
        [ "$1" = --share ] && options+=("share $value") || options+=("vfio_user $value")
        ;;
    *)
        [[ $2 =~ ^[1-9][0-9]*$ ]] || die "$1 wants a whole number from 1, not '$2'" 2
        value=${1#--}
        options+=("${value//-/_} $2")
        ;;
    esac
}

# Sets `names`.
choose_checks() {
    local name pattern
    while read -r name; do
        ((${#only[@]} == 0)) && names+=("$name")
        for pattern in "${only[@]}"; do
            # shellcheck disable=SC2053 # it is a pattern
            if [[ $name == $pattern ]]; then
                names+=("$name")
                break
            fi
        done
    done < <(checks_of "$list")
    ((${#names[@]} > 0)) || die "no check of $list matches ${only[*]}; it has: $(checks_of "$list" | tr '\n' ' ')" 2
    [ -z "$(printf '%s\n' "${names[@]}" | sort | uniq -d)" ] || die "$list has two checks of one name" 2
}

# The base initramfs, and behind it an archive with what this run adds.
pack_overlay() {
    mkdir -p "$RUN/overlay/guest"
    cp "$1" "$RUN/overlay/guest/list.sh"
    printf '%s\n' "${names[@]}" >"$RUN/overlay/guest/names"
    printf 'check_seconds=%s\n' "$check_seconds" >"$RUN/overlay/guest/settings"
    pack_initramfs "$RUN/overlay" "$RUN/overlay.cpio.gz"
    cat "$initramfs/base.cpio.gz" "$RUN/overlay.cpio.gz" >"$RUN/initramfs"
}

# qemu_command PORT…: sets `command` to QEMU's command line, with these serial ports first. Software emulation
# always: it works on any machine. The memory is a shared memfd, so that a vfio-user server can map it.
qemu_command() {
    local program port
    root_program "$root/rootfs" qemu-system-x86_64
    command=(
        "${program[@]}" -nodefaults -no-user-config -no-reboot -display none
        -machine q35,kernel-irqchip=split,memory-backend=memory -accel tcg -cpu max -smp "$cpus"
        -m "$memory_mib" -object "memory-backend-memfd,id=memory,size=${memory_mib}M,share=on"
        -kernel "$kernel/bzImage" -initrd "$RUN/initramfs"
        -append "console=ttyS0 panic=-1 printk.time=1 ${kernel_arguments[*]}"
    )
    for port in "$@"; do command+=(-serial "$port"); done
    command+=("${qemu_arguments[@]}")
}

shell_in_guest() {
    local command
    kernel_arguments guest.shell
    qemu_command mon:stdio null
    "${command[@]}"
}

check_in_guest() {
    local command name qemu failed=0 start=$SECONDS finished='' late='' current=
    local -A result=()
    mkfifo "$RUN/channel.in" "$RUN/channel.out"
    qemu_command "file:$RUN/console.log" "pipe:$RUN/channel"
    # It must not outlive this script, even if that is killed.
    spawn setpriv --pdeathsig KILL -- "${command[@]}" >"$RUN/qemu.log" 2>&1 </dev/null
    qemu=$spawned
    at_exit end_group "$qemu"
    talk

    for name in "${names[@]}"; do
        [ -z "${result[$name]:-}" ] || continue
        if [ -n "$late" ]; then
            printf 'not ok %s: not done when the %s s of the guest were over\n' "$name" "$guest_seconds"
        elif [ "$name" = "$current" ]; then
            printf 'not ok %s: the guest died in it\n' "$name"
        else
            printf 'not ok %s: not run, the guest died before it\n' "$name"
        fi
        failed=1
    done
    if [ -n "$late" ] && [ -n "$finished" ]; then
        printf 'not ok guest: it did all checks, but did not switch off within %s s\n' "$guest_seconds"
        failed=1
    fi
    check_helpers
    if [ -n "$late" ] || [ -z "$finished" ]; then
        show_log QEMU "$RUN/qemu.log"
        show_log console "$RUN/console.log"
    fi
    if ((failed)); then
        say "FAILED after $((SECONDS - start)) s; the guest's console and all logs are in $RUN"
        exit 1
    fi
    say "${#names[@]} checks passed in $((SECONDS - start)) s"
}

show_log() {
    [ -s "$2" ] || return 0
    printf '    the end of %s:\n' "$1"
    tail -n 30 "$2" | tr -d '\r' | sed 's/^/    | /'
}

# Ends what a run started, and removes its folder; of a guest that failed, the logs stay. `status` is the one
# that this script ends with.
end_run() {
    end_helpers
    ((status == 0)) || [ ! -e "$RUN/console.log" ] || keep=1
    rm -rf "${RUN:?}"/{bin,overlay,overlay.cpio.gz,initramfs}
    [ -n "$keep" ] || rm -rf "${RUN:?}"
}
