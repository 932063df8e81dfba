# Linux's own ixgbe driver on our model of the 82599, which `pmd serve` plays on the host. The other end of its
# link is a TAP interface in a namespace on the host.
#
# PMD says which program to take; otherwise it is built. KIT_LONG=1 makes transfers of 200 MB and 20 rebinds.

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
    # Sends back what it gets.
    helper echo ip netns exec "$NS" socat -t 20 TCP-LISTEN:7,reuseaddr,fork PIPE
    # Two more, joined by a cable: what the host's kernel lacks, such as VLANs, is checked between these. One has no MSI-X, the
    # other only the INTx pin.
    helper pair "$pmd" serve ixgbe --mac 02:82:59:90:02:00 --socket "$RUN/left.sock" --link pair,id=cable \
        --socket "$RUN/right.sock" --link pair,id=cable --interrupts msi,intx
    vfio_user 5 "$RUN/left.sock"
    vfio_user 6 "$RUN/right.sock"
    cpus 2
    guest_seconds 600
    if [ "${KIT_LONG:-0}" = 1 ]; then
        guest_seconds 3600
        check_seconds 600
    fi
}

# What the long run does more of: bytes of a transfer, rounds of unbind and bind.
host_sizes() { [ "${KIT_LONG:-0}" = 1 ] && printf '200000000 20\n' || printf '20000000 3\n'; }
transfer_bytes() { host sizes | cut -d ' ' -f 1; }

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
    ip netns exec "$(cut -d ' ' -f 1 "$RUN/names")" timeout 600 \
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
    ip netns exec "$(cut -d ' ' -f 1 "$RUN/names")" timeout 600 socat -u OPEN:"$RUN/sent" "TCP:$1:$2"
    sha256sum <"$RUN/sent" | cut -d ' ' -f 1
}

check_tcp_to_host() {
    local want got bytes
    bytes=$(transfer_bytes)
    head -c "$bytes" /dev/urandom >/tmp/data
    want=$(sha256sum </tmp/data | cut -d ' ' -f 1)
    host listen 5001
    time socat -u OPEN:/tmp/data TCP:10.82.0.1:5001
    rm /tmp/data
    got=$(host received "$bytes")
    [ "$got" = "$want" ] || fail "sent $want, got $got"
}

check_tcp_from_host() {
    local want got
    socat -u TCP-LISTEN:5002,reuseaddr OPEN:/tmp/copy,creat,trunc &
    wait_until 10 eval 'ss -Hltn sport = :5002 | grep -q LISTEN'
    want=$(host send 10.82.0.2 5002 "$(transfer_bytes)")
    wait
    got=$(sha256sum </tmp/copy | cut -d ' ' -f 1)
    rm /tmp/copy
    [ "$got" = "$want" ] || fail "sent $want, got $got"
}

check_offloads_are_on() {
    ethtool -k "$(port)" | tee /tmp/features
    for feature in rx-checksumming tx-checksumming tcp-segmentation-offload; do
        grep -q "^$feature: on" /tmp/features || fail "$feature is off"
    done
}

# Sends some data to the host, which sends them back: both ways at once. So few that they fit into the sockets' buffers, for
# both programs may wait for each other with more. The second argument is the guest's port, if it matters.
echo_data() {
    local bytes=$1 source=${2:+,sourceport=$2,reuseaddr} want got
    want=$(head -c "$bytes" /tmp/pattern | sha256sum)
    got=$(head -c "$bytes" /tmp/pattern | timeout 40 socat -t 20 - "TCP:10.82.0.1:7$source" | sha256sum)
    [ "$got" = "$want" ] || fail "$bytes bytes did not come back as they went: ${2:-}"
}
counter() { ethtool -S "$(port)" | sed -n "s/^ *$1: //p"; }

check_several_queues() {
    ethtool -l "$(port)" | tee /tmp/channels
    ethtool -x "$(port)" | head -n 4
    grep "$(port)-TxRx" /proc/interrupts
    [ "$(grep -c "$(port)-TxRx" /proc/interrupts)" = 2 ] || fail 'not a vector for each CPU'
}

# Flows that differ in their ports are spread by their hash, and each comes back in order.
check_rss_both_ways() {
    local queue before=() flow
    head -c 2000000 /dev/urandom >/tmp/pattern
    for queue in 0 1; do before+=("$(counter "rx_queue_${queue}_packets")"); done
    for flow in 1 2 3 4 5 6 7 8 9 10; do echo_data 100000 "$((6000 + flow * 7))" & done
    wait
    for queue in 0 1; do
        flow=$(($(counter "rx_queue_${queue}_packets") - before[queue]))
        printf 'queue %s: %s packets\n' "$queue" "$flow"
        [ "$flow" -gt 50 ] || fail "queue $queue got $flow packets of ten flows"
    done
}

# What the driver took from the queues is what the MAC counted. A reset forgets what the driver had not read yet, so
# this comes before the checks that reset.
check_statistics() {
    sleep 3
    ethtool -S "$(port)" | sed 's/^ *//; s/: / /' | grep -v ' 0$' | tee /tmp/statistics
    count() { sed -n "s/^$1 //p" /tmp/statistics; }
    [ "$(count rx_packets)" = "$(count rx_pkts_nic)" ] || fail 'received packets differ'
    [ "$(count tx_packets)" = "$(count tx_pkts_nic)" ] || fail 'sent packets differ'
    # What the MAC says it sent is what the other end of the link received; the driver counts PAUSE frames apart.
    wait_until 10 eval '[ "$(frames_sent)" = "$(host tap_received)" ]'
}
frames_sent() {
    printf '%s\n' $(($(counter tx_pkts_nic) + $(counter tx_flow_control_xon) + $(counter tx_flow_control_xoff)))
}
host_tap_received() {
    local names
    names=$(cat "$RUN/names")
    ip netns exec "${names% *}" cat "/sys/class/net/${names#* }/statistics/rx_packets"
}

host_address() { ip -n "$(cut -d ' ' -f 1 "$RUN/names")" "$@"; }

check_mtu_9000() {
    ip link set "$(port)" mtu 9000
    wait_until 30 ping -c 1 -W 1 10.82.0.1
    ping -c 5 -i 0.1 -M 'do' -s 8972 10.82.0.1 | tee /tmp/ping
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

# Each feature off and on again, with traffic after each; what it does is seen where a counter tells.
check_features_on_and_off() {
    local feature state before
    head -c 2000000 /dev/urandom >/tmp/pattern
    for feature in tso gso tx rx gro rxvlan txvlan sg; do
        for state in off on; do
            ethtool -K "$(port)" "$feature" "$state"
            wait_until 30 ping -c 1 -W 1 10.82.0.1
            echo_data 100000
        done
    done
    ethtool -k "$(port)" >/tmp/features
    for feature in rx-checksumming tx-checksumming tcp-segmentation-offload generic-receive-offload; do
        grep -q "^$feature: on" /tmp/features || fail "$feature is off"
    done
}

# Receive-side coalescing, which the driver calls LRO.
check_large_receive_offload() {
    local want
    ethtool -K "$(port)" lro on
    ethtool -k "$(port)" | grep '^large-receive-offload: on'
    wait_until 30 ping -c 1 -W 1 10.82.0.1
    host listen_back 5006
    socat -u TCP:10.82.0.1:5006 OPEN:/tmp/copy,creat,trunc
    want=$(host sent)
    [ "$(sha256sum </tmp/copy | cut -d ' ' -f 1)" = "$want" ] || fail 'coalesced data are not what was sent'
    counter hw_rsc_aggregated
    [ "$(counter hw_rsc_aggregated)" -gt 0 ] || fail 'nothing was coalesced'
    ethtool -K "$(port)" lro off
    wait_until 30 ping -c 1 -W 1 10.82.0.1
}
host_listen_back() {
    head -c 4000000 /dev/urandom >"$RUN/sent"
    ip netns exec "$(cut -d ' ' -f 1 "$RUN/names")" timeout 60 \
        socat -u OPEN:"$RUN/sent" TCP-LISTEN:"$1",reuseaddr >"$RUN/socat.log" 2>&1 </dev/null &
    sleep 1
}
host_sent() { sha256sum <"$RUN/sent" | cut -d ' ' -f 1; }

# Flow director: a flow to a queue, a flow to nowhere, and the rules taken away again.
check_flow_rules() {
    local queue before now
    head -c 2000000 /dev/urandom >/tmp/pattern
    ethtool -K "$(port)" ntuple on
    wait_until 30 ping -c 1 -W 1 10.82.0.1
    for queue in 0 1; do
        ethtool -N "$(port)" flow-type tcp4 dst-port "510$queue" action "$queue" loc "1$queue"
    done
    for queue in 0 1; do
        before=$(counter "rx_queue_${queue}_packets") now=$(counter fdir_match)
        echo_data 100000 "510$queue"
        before=$(($(counter "rx_queue_${queue}_packets") - before))
        printf 'queue %s: %s packets, %s matches before\n' "$queue" "$before" "$now"
        [ "$before" -gt 50 ] || fail "queue $queue got $before packets of its flow"
    done
    wait_until 10 eval '[ "$(counter fdir_match)" -gt 100 ]'
    ethtool -N "$(port)" flow-type udp4 dst-port 5105 action -1 loc 20
    ethtool -n "$(port)" | tee /tmp/rules
    [ "$(grep -c '^Filter:' /tmp/rules)" = 3 ] || fail 'not three rules'
    socat -u UDP-RECV:5105 OPEN:/tmp/datagrams,creat,trunc &
    host datagrams 5105
    [ ! -s /tmp/datagrams ] || fail 'datagrams came that a rule drops'
    ethtool -N "$(port)" delete 20
    host datagrams 5105
    wait_until 10 [ -s /tmp/datagrams ]
    # Without a rule the flow goes where its hash says, and with the rule turned around to the other queue.
    ethtool -N "$(port)" delete 11
    ethtool -N "$(port)" flow-type tcp4 dst-port 5101 action 0 loc 11
    before=$(counter rx_queue_0_packets)
    echo_data 100000 5101
    [ "$(($(counter rx_queue_0_packets) - before))" -gt 50 ] || fail 'the rule did not turn'
    ethtool -N "$(port)" delete 10
    ethtool -N "$(port)" delete 11
    ! ethtool -N "$(port)" delete 11 || fail 'a rule was deleted twice'
    ethtool -K "$(port)" ntuple off
    wait_until 30 ping -c 1 -W 1 10.82.0.1
    echo_data 100000 5101
}
host_datagrams() {
    local i
    for i in 1 2 3 4 5; do
        printf 'datagram %s\n' "$i" | ip netns exec "$(cut -d ' ' -f 1 "$RUN/names")" socat -u - "UDP-SENDTO:10.82.0.2:$1"
    done
}

# The function has no SR-IOV capability, which virtual functions on a socket could not follow.
check_no_virtual_functions() {
    [ ! -e "/sys/bus/pci/devices/$(nic)/sriov_numvfs" ] || fail 'the function offers virtual ones'
    ! ip link set "$(port)" vf 0 vlan 5 || fail 'a virtual function that there is not was set up'
}

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
    # Tags taken out and put in by software.
    for feature in rxvlan txvlan; do
        ip netns exec right ethtool -K "$device" "$feature" off
        wait_until 30 ip netns exec left ping -c 1 -W 1 10.85.0.2
    done
    # Neither of them has MSI-X: the driver took the one message, and the pin.
    grep -E 'IO-APIC.* eth|PCI-MSI-.* eth' /proc/interrupts | tee /tmp/interrupts
    grep -qx msi /sys/bus/pci/devices/0000:00:05.0/msi_irqs/* || fail 'the left one has no message of MSI'
    [ ! -e /sys/bus/pci/devices/0000:00:06.0/msi_irqs ] || fail 'the right one does not use its pin'
    awk '$2 + $3 < 20 { few = 1 } END { exit few || NR != 2 }' /tmp/interrupts || fail 'few interrupts, or not two lines'
    ip netns del left
    ip netns del right
}

check_ethtool_reads() {
    local option
    for option in i d e m a c T; do
        ethtool "-$option" "$(port)" >/tmp/out || fail "ethtool -$option: $?"
        head -n 6 /tmp/out
    done
}

check_offline_test() {
    ethtool -t "$(port)" offline
    wait_until 30 ping -c 1 -W 1 10.82.0.1
}

check_unbind_and_bind() {
    local nic round rounds
    nic=$(nic)
    rounds=$(host sizes | cut -d ' ' -f 2)
    for ((round = 1; round <= rounds; round++)); do
        printf '%s\n' "$nic" >/sys/bus/pci/drivers/ixgbe/unbind
        [ -z "$(pci_driver "$nic")" ]
        printf '%s\n' "$nic" >/sys/bus/pci/drivers/ixgbe/bind
        ip link set "$(port)" up
        ip addr add 10.82.0.2/24 dev "$(port)"
        wait_until 30 ping -c 1 -W 1 10.82.0.1
        printf 'round %s\n' "$round"
    done
}
