# What the lists of checks of `pmd fwd` share: two NICs for the program, each on a cable with a virtio NIC that the guest's
# kernel has, in a namespace of its own. On the host `fwd_machine` takes this file into the guest.
#
#   left 10.7.0.1 -- virtio -- cable -- NIC, pmd fwd, NIC -- cable -- virtio -- 10.7.0.2 right
#
# PMD says which program to take; otherwise it is built.

KIT=/guest/fwd-kit.sh

# Sets `pmd`, the program.
fwd_program() {
    pmd=${PMD:-}
    if [ -z "$pmd" ]; then
        cargo build --release --quiet --bin pmd --manifest-path "$here/../../Cargo.toml"
        pmd=$(cargo metadata --format-version 1 --no-deps --manifest-path "$here/../../Cargo.toml" |
            sed -E 's/.*"target_directory":"([^"]*)".*/\1/')/release/pmd
    fi
    put "$pmd" /bin/pmd
    put "$here/checks/fwd/kit.sh" "$KIT"
    cpus 2
    memory 768
    check_seconds 120
    guest_seconds 1200
}

# Two 82576, each behind a root port, so that they can be unplugged.
fwd_igb() {
    local number
    fwd_program
    for number in 0 1; do
        qemu -device "pcie-root-port,id=above$number,chassis=$((number + 1)),addr=$((number + 8))"
        qemu -netdev "hubport,id=n$number,hubid=$number" -device "igb,id=nic$number,bus=above$number,netdev=n$number"
        qemu -netdev "hubport,id=v$number,hubid=$number" -device "virtio-net-pci,addr=$((number + 16)),netdev=v$number"
    done
    # Unplugging is the root ports' own, which this kernel has a driver for, and not the firmware's.
    qemu -global ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off
    qemu -chardev "socket,id=hmp,path=$RUN/monitor.sock,server=on,wait=off" -monitor chardev:hmp
}

nics() { pci_devices "$NIC"; }
first() { nics | head -n 1; }
second() { nics | sed -n 2p; }

# In the guest: gives the NICs to user space and the other ends of their cables to the namespaces. What is done already is
# left as it is.
prepare() {
    local nic side number=0 places
    for nic in $(nics); do
        [ "$(pci_driver "$nic")" = vfio-pci ] || pmd bind --force $BIND "$nic"
    done
    mapfile -t places < <(ls -d /sys/bus/pci/devices/*/virtio*/net)
    for side in left right; do
        number=$((number + 1))
        ip netns list | grep -q "^$side" && continue
        ip netns add "$side"
        ip link set "$(ls "${places[number - 1]}")" name "$side" netns "$side"
        ip -n "$side" addr add "10.7.0.$number/24" dev "$side"
        ip -n "$side" link set "$side" up
    done
    [ "$(cat /proc/sys/vm/nr_hugepages)" -ge 40 ] || pmd hugepages -p 2M --reserve 80M
}

# start ARGUMENT…: starts `pmd fwd` with them and waits until it forwards.
start() {
    : >/tmp/says
    pmd fwd --json --stats-period 0 "$@" >/tmp/report 2>/tmp/says &
    runs=$!
    local end=$((SECONDS + 40))
    until grep -q '^lcore on core' /tmp/says; do
        if ! kill -0 "$runs" 2>/dev/null; then
            cat /tmp/says
            fail "pmd fwd $* ended"
        fi
        ((SECONDS < end)) || fail "not forwarding: $(cat /tmp/says)"
        sleep 0.2
    done
    cat /tmp/says
}

# Ends it: the run must be a good one.
stop() {
    kill -INT "$runs"
    wait "$runs" || fail "exit $?: $(cat /tmp/says)"
    grep -q '"balanced": true' /tmp/report || fail "$(cat /tmp/report)"
}

# number NAME: the first number of that name in the report.
number() { sed -nE "s/^ *\"$1\": ([0-9]+).*/\1/p" /tmp/report | head -n 1; }

# Pings through what forwards, or who answers; all come back.
pings() {
    wait_until 30 ip netns exec left ping -c 1 -W 1 "$1"
    ip netns exec left ping -c 20 -i 0.05 -s 1000 "$1" | tee /tmp/ping
    grep -q ' 20 received' /tmp/ping
}

# A transfer from left to right; both sums are compared.
transfer() {
    local want got receiver
    head -c "$1" /dev/urandom >/tmp/data
    want=$(sha256sum </tmp/data)
    rm -f /tmp/copy
    ip netns exec right socat -u TCP-LISTEN:5001,reuseaddr OPEN:/tmp/copy,creat,trunc &
    receiver=$!
    wait_until 10 eval 'ip netns exec right ss -Hltn sport = :5001 | grep -q LISTEN'
    time ip netns exec left socat -u OPEN:/tmp/data TCP:10.7.0.2:5001
    wait "$receiver"
    got=$(sha256sum </tmp/copy)
    [ "$got" = "$want" ] || fail "sent $want, got $got"
}

# forwards ARGUMENT…: two NICs in one address space forward, and packets wake the program.
forwards() {
    prepare
    start -a "$(first)" -a "$(second)" --idle interrupt "$@"
    pings 10.7.0.2
    transfer 4000000
    stop
    [ "$(number interrupts)" -gt 20 ] || fail "$(number interrupts) interrupts"
    [ "$(number rx_packets)" -gt 20 ] || fail "$(cat /tmp/report)"
    grep -E '"(rx_packets|tx_packets|interrupts|waits)"' /tmp/report
}

# answers ARGUMENT…: one NIC answers ARP and ping for an address that nobody has.
answers() {
    prepare
    start -a "$(first)" --forward-mode icmpecho "$@"
    pings 10.7.0.77
    stop
    [ "$(number tx_packets)" -ge 20 ] || fail "$(cat /tmp/report)"
}

# unprivileged COMMAND…: runs it as a user without rights.
unprivileged() { chroot --userspec=1000:1000 / "$@"; }

# refused WORD… -- COMMAND…: the command must end with an error whose last line contains the words.
refused() {
    local words=() word
    while [ "$1" != -- ]; do
        words+=("$1")
        shift
    done
    shift
    if "$@" >/tmp/out 2>/tmp/err; then fail "it did: $*"; fi
    cat /tmp/err
    for word in "${words[@]}"; do
        tail -n 1 /tmp/err | grep -qF -- "$word" || fail "no '$word' in what $* says"
    done
}
