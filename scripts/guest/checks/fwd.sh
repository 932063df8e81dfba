# `pmd fwd` on QEMU's 82576, a device model that nobody here wrote, behind an Intel IOMMU.

NIC=8086:10c9 BIND=
if [ -e /guest/fwd-kit.sh ]; then . /guest/fwd-kit.sh; else . "$here/checks/fwd/kit.sh"; fi

machine() {
    iommu
    fwd_igb
}

check_forward_over_iommufd() {
    forwards --vfio-api iommufd
    grep 'opened by iommufd' /tmp/says
    grep '^hugepages: ' /tmp/says
}
check_forward_over_type1() {
    forwards --vfio-api type1
    grep 'opened by type1' /tmp/says
}
check_echo_over_iommufd() { answers --vfio-api iommufd; }
check_echo_over_type1() { answers --vfio-api type1; }

check_addresses_of_this_process() {
    prepare
    if pmd info -a "$(first)" --iova-mode va 2>/tmp/says; then
        answers --iova-mode va
    else
        # The IOMMU translates fewer bits than the process uses.
        cat /tmp/says
        grep -q 'IOVA' /tmp/says
    fi
    refused --vfio-api noiommu -- pmd info -a "$(first)" --iova-mode pa
}

check_info_and_dump() {
    prepare
    pmd info -a "$(first)" --json | tee /tmp/info
    grep -q '"driver": "net_e1000_igb"' /tmp/info
    ip netns exec left ping -c 30 -i 0.2 10.7.0.99 >/tmp/ping &
    pmd dump -a "$(first)" -w /tmp/dump.pcap -c 5
    [ "$(stat -c %s /tmp/dump.pcap)" -gt 200 ]
    kill $! 2>/dev/null || true
}

check_two_queues_on_two_lcores() {
    prepare
    start -a "$(first)" -a "$(second)" --rxq 2 --txq 2 -l 0-1
    pings 10.7.0.2
    transfer 1000000
    stop
}

check_mixed_with_a_model() {
    prepare
    start -a "$(first)" --vdev net_pcap0,tx_pcap=/tmp/mixed.pcap
    # Nobody answers: the address is told, for more than a question or two to be sent.
    ip -n left neigh replace 10.7.0.99 lladdr 02:00:00:00:00:99 dev left
    ip netns exec left ping -c 10 -i 0.1 -W 1 10.7.0.99 || true
    ip -n left neigh del 10.7.0.99 dev left
    stop
    [ "$(stat -c %s /tmp/mixed.pcap)" -gt 200 ]
}

# A physical function in user space tells its secret; its virtual ones are opened with it only.
check_vf_token() {
    local token=14d63f20-8445-11ea-8900-1f9ce7d5650d function
    prepare
    pmd bind -i --vfs 1 "$(first)" | tee /tmp/vfs
    function=$(sed -n 's/.*virtual functions: \([^ ]*\).*/\1/p' /tmp/vfs)
    start -a "$(first)" --forward-mode rxonly --vfio-vf-token $token
    refused 'share a secret' --vfio-vf-token -- pmd info -a "$function"
    refused 'share a secret' -- pmd info -a "$function" --vfio-vf-token 00000000-8445-11ea-8900-1f9ce7d5650d
    # It is opened, and then nobody here drives it.
    refused 'no driver for device 8086:10ca' -- pmd info -a "$function" --vfio-vf-token $token
    stop
    pmd bind --vfs 0 "$(first)"
}

check_held_by_the_kernel() {
    prepare
    pmd unbind "$(first)"
    refused "$(first)" igb "pmd bind $(first)" -- pmd fwd -a "$(first)"
    pmd bind -u --force "$(first)"
    refused "pmd bind $(first)" -- pmd fwd -a "$(first)"
    pmd unbind "$(first)"
    refused 'there is no device' 'pmd info' -- pmd fwd -a 0000:55:00.0
}

check_no_permission() {
    prepare
    refused 'no permission' 'pmd bind' -- unprivileged pmd fwd -a "$(first)"
}

check_as_a_user() {
    prepare
    pmd bind -i -u 1000 -g 1000 "$(first)"
    chmod 666 /dev/vfio/vfio
    ulimit -l unlimited
    unprivileged pmd fwd -a "$(first)" --forward-mode icmpecho --duration 2 --vfio-api type1 --no-huge --stats-period 0
}

check_memlock_too_small() {
    prepare
    pmd bind -i -u 1000 -g 1000 "$(first)"
    chmod 666 /dev/vfio/vfio /dev/iommu
    ulimit -l 512
    refused memlock 'ulimit -l' -- unprivileged pmd fwd -a "$(first)" --vfio-api type1 --no-huge --duration 1
    refused memlock 'ulimit -l' -- unprivileged pmd fwd -a "$(first)" --vfio-api iommufd --no-huge --duration 1
}

check_no_hugepages_is_said() {
    prepare
    pmd hugepages --clear
    start -a "$(first)" --forward-mode icmpecho
    grep 'no pages of 2 MiB' /tmp/says
    stop
}

check_in_use() {
    prepare
    start -a "$(first)" --forward-mode rxonly
    refused 'is in use' -- pmd fwd -a "$(first)"
    pmd status | grep "pid="
    refused 'process' -- pmd unbind "$(first)"
    stop
}

# The kernel asks for the device and waits until the program has given it back.
host_monitor() { printf '%s\n' "$*" | socat - "UNIX:$RUN/monitor.sock"; }
check_removed_while_running() {
    local nic
    prepare
    nic=$(second)
    start -a "$nic" --forward-mode rxonly
    host monitor device_del nic1 >/dev/null
    local status=0
    wait "$runs" || status=$?
    cat /tmp/says
    [ "$status" = 1 ] || fail "exit $status"
    tail -n 1 /tmp/says | grep -E 'wants the device back|the device is gone'
    wait_until 20 test ! -e "/sys/bus/pci/devices/$nic"
}
