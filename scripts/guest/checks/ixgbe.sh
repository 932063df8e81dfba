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
    guest_seconds 600
}

nic() { pci_devices 8086:10fb; }
port() { netdev "$(nic)"; }

check_probe() {
    lspci -nnvv -d 8086:10fb
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

check_statistics() {
    ethtool -S "$(port)" | grep -v ': 0$'
}
