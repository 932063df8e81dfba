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
    # The model's carrier is the interface's, and a TAP answers only in the namespace of its program.
    ip netns add "$NS"
    at_exit ip netns del "$NS"
    helper serve ip netns exec "$NS" "$pmd" serve ixgbe --socket "$RUN/nic.sock" --link "tap,iface=$TAP" \
        --mac 02:82:59:90:01:00 ${TRACE:+--trace-mmio}
    wait_for "$RUN/nic.sock" 10
    ip -n "$NS" addr add 10.82.0.1/24 dev "$TAP"
    ip -n "$NS" link set "$TAP" mtu 9000 up
    ip -n "$NS" link set lo up
    vfio_user 4 "$RUN/nic.sock"
    # Two more, joined by a cable: what the host's kernel lacks, such as VLANs, is checked between these.
    helper pair "$pmd" serve ixgbe --mac 02:82:59:90:02:00 --socket "$RUN/left.sock" --link pair,id=cable \
        --socket "$RUN/right.sock" --link pair,id=cable
    vfio_user 5 "$RUN/left.sock"
    vfio_user 6 "$RUN/right.sock"
    cpus 2
    guest_seconds 600
}

nic() { printf '0000:00:04.0\n'; }
port() { netdev "$(nic)"; }

check_probe() {
    lspci -nnvv -s "$(nic)"
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

# A transfer each way; the other end is `socat` in the namespace, and both sums are compared.
host_listen() {
    ip netns exec "$(cut -d ' ' -f 1 "$RUN/names")" timeout 120 \
        socat -u TCP-LISTEN:"$1",reuseaddr OPEN:"$RUN/received",creat,trunc >"$RUN/socat.log" 2>&1 </dev/null &
    sleep 1
}
host_received() {
    local i
    for ((i = 0; i < 100; i++)); do
        [ "$(stat -c %s "$RUN/received" 2>/dev/null)" != "$1" ] || break
        sleep 0.1
    done
    sha256sum <"$RUN/received" | cut -d ' ' -f 1
}
host_send() {
    head -c "$3" /dev/urandom >"$RUN/sent"
    ip netns exec "$(cut -d ' ' -f 1 "$RUN/names")" timeout 120 socat -u OPEN:"$RUN/sent" "TCP:$1:$2"
    sha256sum <"$RUN/sent" | cut -d ' ' -f 1
}

check_tcp_to_host() {
    local want got
    head -c 20000000 /dev/urandom >/tmp/data
    want=$(sha256sum </tmp/data | cut -d ' ' -f 1)
    host listen 5001
    time socat -u OPEN:/tmp/data TCP:10.82.0.1:5001
    got=$(host received 20000000)
    [ "$got" = "$want" ] || fail "sent $want, got $got"
}

check_tcp_from_host() {
    local want got
    socat -u TCP-LISTEN:5002,reuseaddr OPEN:/tmp/copy,creat,trunc &
    wait_until 10 eval 'ss -Hltn sport = :5002 | grep -q LISTEN'
    want=$(host send 10.82.0.2 5002 20000000)
    wait
    got=$(sha256sum </tmp/copy | cut -d ' ' -f 1)
    [ "$got" = "$want" ] || fail "sent $want, got $got"
}

check_offloads_are_on() {
    ethtool -k "$(port)" | tee /tmp/features
    for feature in rx-checksumming tx-checksumming tcp-segmentation-offload; do
        grep -q "^$feature: on" /tmp/features || fail "$feature is off"
    done
}

check_several_queues() {
    ethtool -l "$(port)" | tee /tmp/channels
    ethtool -x "$(port)" | head -n 4
    grep "$(port)-TxRx" /proc/interrupts
    [ "$(grep -c "$(port)-TxRx" /proc/interrupts)" = 2 ] || fail 'not a vector for each CPU'
}

# What the driver took from the queues is what the MAC counted. A reset forgets what the driver had not read yet, so
# this comes before the checks that reset.
check_statistics() {
    sleep 3
    ethtool -S "$(port)" | sed 's/^ *//; s/: / /' | grep -v ' 0$' | tee /tmp/statistics
    count() { sed -n "s/^$1 //p" /tmp/statistics; }
    [ "$(count rx_packets)" = "$(count rx_pkts_nic)" ] || fail 'received packets differ'
    [ "$(count tx_packets)" = "$(count tx_pkts_nic)" ] || fail 'sent packets differ'
}

host_address() { ip -n "$(cut -d ' ' -f 1 "$RUN/names")" "$@"; }

check_mtu_9000() {
    ip link set "$(port)" mtu 9000
    wait_until 30 ping -c 1 -W 1 10.82.0.1
    ping -c 5 -i 0.1 -M do -s 8972 10.82.0.1 | tee /tmp/ping
    grep -q ' 5 received' /tmp/ping
    ip link set "$(port)" mtu 1500
    wait_until 30 ping -c 1 -W 1 10.82.0.1
}

check_ipv6() {
    host address -6 addr add fd82::1/64 dev "$(host tap)" nodad
    ip -6 addr add fd82::2/64 dev "$(port)" nodad
    wait_until 20 ping -6 -c 1 -W 1 fd82::1
    ping -6 -c 5 -i 0.1 -s 1400 fd82::1 | grep ' 5 received'
}
host_tap() { cut -d ' ' -f 2 "$RUN/names"; }

check_two_models_with_vlan() {
    local side device number=0
    for side in left right; do
        number=$((number + 1))
        device=$(netdev "0000:00:0$((number + 4)).0")
        ip netns add "$side"
        ip link set "$device" netns "$side"
        ip -n "$side" link set "$device" up
        ip -n "$side" addr add "10.84.0.$number/24" dev "$device"
        ip -n "$side" link add link "$device" name vlan7 type vlan id 7
        ip -n "$side" addr add "10.85.0.$number/24" dev vlan7
        ip -n "$side" link set vlan7 up
    done
    wait_until 30 ip netns exec left ping -c 1 -W 1 10.84.0.2
    wait_until 30 ip netns exec left ping -c 1 -W 1 10.85.0.2
    ip netns exec left ping -c 20 -i 0.05 -s 1400 10.85.0.2 | tee /tmp/ping
    grep -q ' 20 received' /tmp/ping
    ip netns del left
    ip netns del right
}

check_ethtool_reads() {
    local option
    for option in i d e m a c; do
        ethtool "-$option" "$(port)" >/tmp/out || fail "ethtool -$option: $?"
        head -n 6 /tmp/out
    done
}

check_offline_test() {
    ethtool -t "$(port)" offline
    wait_until 30 ping -c 1 -W 1 10.82.0.1
}

check_unbind_and_bind() {
    local nic round
    nic=$(nic)
    for round in 1 2 3; do
        printf '%s\n' "$nic" >/sys/bus/pci/drivers/ixgbe/unbind
        [ -z "$(pci_driver "$nic")" ]
        printf '%s\n' "$nic" >/sys/bus/pci/drivers/ixgbe/bind
        ip link set "$(port)" up
        ip addr add 10.82.0.2/24 dev "$(port)"
        wait_until 30 ping -c 1 -W 1 10.82.0.1
        printf 'round %s\n' "$round"
    done
}
