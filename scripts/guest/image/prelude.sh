# What a check may call, beside the programs of the guest. A check is a function `check_NAME` of its list; it
# runs in a bash of its own with -e, -u and pipefail, and passes if it ends with 0 in time and the kernel
# complained of nothing meanwhile. Its background processes end with it.

# Ends the check with a reason.
fail() {
    printf '%s\n' "$*"
    exit 1
}

# wait_until SECONDS COMMAND…: repeats the command until it succeeds.
wait_until() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < end)) || fail "still not, in time: $*"
        sleep 0.2
    done
}

# host FUNCTION WORD…: calls `host_FUNCTION` of the same list on the host, prints its output (the last 2,000
# bytes) and returns its status. Words are split at blanks.
host() {
    local id=$BASHPID.$RANDOM line
    exec 4<>/dev/ttyS1
    printf 'call %s %s\n' "$id" "$*" >&4
    while IFS= read -r line <&4; do
        case $line in
        "$id| "*) printf '%s\n' "${line#*| }" ;;
        "$id= "*)
            exec 4>&-
            return "${line##* }"
            ;;
        esac
    done
    fail "the host hung up"
}

# pci_devices VENDOR:DEVICE: the addresses of such PCI devices, one a line; fails if there is none.
pci_devices() {
    lspci -Dn -d "$1" | cut -d ' ' -f 1 | grep .
}

# The network interface of a PCI device.
netdev() {
    ls "/sys/bus/pci/devices/$1/net" | head -n 1 | grep .
}

# The driver that holds a PCI device; nothing if none does.
pci_driver() {
    [ ! -e "/sys/bus/pci/devices/$1/driver" ] || basename "$(readlink "/sys/bus/pci/devices/$1/driver")"
}

# bind_driver ADDRESS DRIVER: takes a PCI device from its driver, if any, and gives it to this one.
bind_driver() {
    local device=/sys/bus/pci/devices/$1
    printf '%s\n' "$2" >"$device/driver_override"
    [ ! -e "$device/driver" ] || printf '%s\n' "$1" >"$device/driver/unbind"
    printf '%s\n' "$1" >/sys/bus/pci/drivers_probe
    [ "$(pci_driver "$1")" = "$2" ] || fail "$1 is held by '$(pci_driver "$1")', not by $2"
}
