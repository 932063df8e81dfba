# The guest itself: what all other lists rely on.

machine() {
    iommu
    qemu -device igb,netdev=n0,addr=3 -netdev user,id=n0,restrict=on
    # A program of the host, with its libraries
    put "$(command -v sha256sum)" /bin/host-sha256sum
    # A socket on the host that QEMU reaches as the guest's third serial port
    helper echo socat "UNIX-LISTEN:$RUN/echo.sock" EXEC:/bin/cat
    wait_for "$RUN/echo.sock" 10
    qemu -chardev "socket,id=echo,path=$RUN/echo.sock" -serial chardev:echo
}

check_our_kernel_boots() {
    uname -r
    uname -r | grep -qE '^[0-9.]+-guest$'
    if grep -E 'BUG: |WARNING: |Oops|Call Trace' /run/boot.log; then fail 'the kernel complained while booting'; fi
}

check_iommu_is_present() {
    ls /sys/class/iommu
    [ -e /sys/class/iommu/dmar0 ] || fail 'no Intel IOMMU'
    [ -e "/sys/bus/pci/devices/$(pci_devices 8086:10c9)/iommu_group" ] || fail 'the NIC is in no IOMMU group'
}

check_kernel_drives_igb() {
    local nic
    nic=$(pci_devices 8086:10c9)
    [ "$(pci_driver "$nic")" = igb ] || fail "driver '$(pci_driver "$nic")'"
    ip link set "$(netdev "$nic")" up
    wait_until 20 grep -qx 1 "/sys/class/net/$(netdev "$nic")/carrier"
}

check_igb_binds_to_vfio_pci() {
    local nic group
    nic=$(pci_devices 8086:10c9)
    bind_driver "$nic" vfio-pci
    group=$(basename "$(readlink "/sys/bus/pci/devices/$nic/iommu_group")")
    ls -l /dev/iommu /dev/vfio /dev/vfio/devices
    [ -c "/dev/vfio/$group" ] || fail "no /dev/vfio/$group"
    [ -c /dev/vfio/devices/vfio0 ] || fail 'no /dev/vfio/devices/vfio0'
    [ -c /dev/iommu ] || fail 'no /dev/iommu'
    bind_driver "$nic" igb
}

# Two TAP interfaces joined by a program, each in a namespace of its own.
check_tun_carries_packets() {
    socat TUN,tun-type=tap,tun-name=t0,iff-no-pi TUN,tun-type=tap,tun-name=t1,iff-no-pi &
    wait_until 10 ip link show t1
    ip netns add left
    ip netns add right
    ip link set t0 netns left
    ip link set t1 netns right
    ip -n left addr add 10.9.0.1/24 dev t0
    ip -n right addr add 10.9.0.2/24 dev t1
    ip -n left link set t0 up
    ip -n right link set t1 up
    wait_until 10 ip netns exec left ping -c 1 -W 1 10.9.0.2
    ip netns exec left ping -c 20 -i 0.05 -s 1400 10.9.0.2 | tee /tmp/ping
    grep -q ' 20 received' /tmp/ping
    ip netns del left
    ip netns del right
}

check_ixgbe_is_built_in() {
    [ -d /sys/bus/pci/drivers/ixgbe ] || fail 'no PCI driver ixgbe'
    [ -d /sys/bus/pci/drivers/ixgbevf ] || fail 'no PCI driver ixgbevf'
}

check_dfl_is_built_in() {
    [ -d /sys/bus/pci/drivers/dfl-pci ] || fail 'no PCI driver dfl-pci'
}

check_tcp_tool_keeps_every_byte() {
    local got want
    head -c 20000000 /dev/urandom >/tmp/data
    socat -u TCP-LISTEN:5001,reuseaddr OPEN:/tmp/copy,creat &
    wait_until 10 eval 'ss -Hltn sport = :5001 | grep -q LISTEN'
    socat -u OPEN:/tmp/data TCP:127.0.0.1:5001
    wait
    want=$(sha256sum </tmp/data)
    got=$(sha256sum </tmp/copy)
    rm /tmp/data /tmp/copy
    [ "$got" = "$want" ] || fail "sent $want, got $got"
}

check_ethtool_talks_to_a_driver() {
    ethtool -i "$(netdev "$(pci_devices 8086:10c9)")" | grep -x 'driver: igb'
}

check_program_of_the_host_runs() {
    [ "$(host-sha256sum </guest/list.sh)" = "$(sha256sum </guest/list.sh)" ]
}

host_sum() { printf '%s %s\n' "$1" "$(($1 + $2))"; }
host_no() { return 3; }
check_host_answers_calls() {
    local status=0
    [ "$(host sum 40 2)" = '40 42' ]
    host no || status=$?
    ((status == 3)) || fail "status $status"
}

check_socket_of_the_host_is_reached() {
    local reply
    stty -F /dev/ttyS2 raw -echo
    exec 7<>/dev/ttyS2
    echo hello >&7
    read -r -t 20 reply <&7
    [ "$reply" = hello ] || fail "reply '$reply'"
}
