# Linux's own ixgbe driver on our model of the 82599, which `pmd serve` plays on the host. The other end of its
# link is a TAP interface in a namespace on the host.
#
# PMD says which program to take; otherwise it is built.

NS=pmd-ixgbe-$$
TAP=pmdt$$

machine() {
    local pmd=${PMD:-}
    if [ -z "$pmd" ]; then
        cargo build --release --quiet --bin pmd --manifest-path "$here/../../Cargo.toml"
        pmd=$(cargo metadata --format-version 1 --no-deps --manifest-path "$here/../../Cargo.toml" |
            sed -E 's/.*"target_directory":"([^"]*)".*/\1/')/release/pmd
    fi
    printf '%s %s\n' "$NS" "$TAP" >"$RUN/names"
    helper serve "$pmd" serve ixgbe --socket "$RUN/nic.sock" --link "tap,iface=$TAP" --mac 02:82:59:90:01:00 ${TRACE:+--trace-mmio}
    wait_for "$RUN/nic.sock" 10
    ip netns add "$NS"
    at_exit ip netns del "$NS"
    ip link set "$TAP" netns "$NS"
    ip -n "$NS" addr add 10.82.0.1/24 dev "$TAP"
    ip -n "$NS" link set "$TAP" mtu 9000 up
    ip -n "$NS" link set lo up
    vfio_user 4 "$RUN/nic.sock"
    guest_seconds 600
}

nic() { pci_devices 8086:10fb; }
port() { netdev "$(nic)"; }

check_probe() {
    lspci -nnvv -d 8086:10fb
    dmesg | grep -i ixgbe
    [ "$(pci_driver "$(nic)")" = ixgbe ] || fail "driver '$(pci_driver "$(nic)")'"
    [ "$(cat "/sys/class/net/$(port)/address")" = 02:82:59:90:01:00 ]
}

check_link_up_at_10g() {
    ip link set "$(port)" up
    wait_until 30 grep -qx 1 "/sys/class/net/$(port)/carrier"
    ethtool "$(port)" | tee /tmp/ethtool
    grep -q 'Speed: 10000Mb/s' /tmp/ethtool
}

check_ping() {
    ip addr add 10.82.0.2/24 dev "$(port)"
    wait_until 20 ping -c 1 -W 1 10.82.0.1
    ping -c 20 -i 0.1 -s 1400 10.82.0.1 | tee /tmp/ping
    grep -q ' 20 received' /tmp/ping
}
