# Giving devices to user space and back, with `pmd bind` and its relatives, on a kernel's real sysfs: QEMU's igb behind an
# Intel IOMMU, a second one behind it too, for what goes wrong.

NIC=8086:10c9 BIND=
if [ -e /guest/fwd-kit.sh ]; then . /guest/fwd-kit.sh; else . "$here/checks/fwd/kit.sh"; fi

machine() {
    fwd_program
    iommu
    qemu -device igb,netdev=n0,addr=3 -netdev user,id=n0,restrict=on
    qemu -device igb,netdev=n1,addr=6 -netdev user,id=n1,restrict=on
}

nic() { printf '0000:00:03.0\n'; }
other() { printf '0000:00:06.0\n'; }

down() { ip link set "$(netdev "$1")" down; }

check_info_lists_the_nic() {
    pmd info | tee /tmp/info
    grep -A 20 "^$(nic)" /tmp/info >/tmp/one
    grep -q 'driver  *igb' /tmp/one
    grep -qE 'IOMMU group [0-9]+' /tmp/one
    grep -q "interfaces  $(netdev "$(nic)")" /tmp/one
    grep -qE 'VFs  *0 of [1-9]' /tmp/one
    pmd info --json | grep -q '"iommu_group"'
}

check_status_names_interface_and_driver() {
    pmd status | tee /tmp/status
    grep -q "^$(nic) .*if=$(netdev "$(nic)") drv=igb" /tmp/status
}

check_bind_and_unbind() {
    local group
    down "$(nic)"
    pmd bind "$(nic)" | tee /tmp/bind
    [ "$(pci_driver "$(nic)")" = vfio-pci ]
    group=$(basename "$(readlink "/sys/bus/pci/devices/$(nic)/iommu_group")")
    [ -c "/dev/vfio/$group" ] && grep -q "/dev/vfio/$group" /tmp/bind
    grep -q /dev/vfio/devices/vfio /tmp/bind
    pmd status | grep -A 3 'given to user space' | grep -q "$(nic).*drv=vfio-pci.*before=igb"
    pmd unbind "$(nic)"
    [ "$(pci_driver "$(nic)")" = igb ]
    [ "$(cat "/sys/bus/pci/devices/$(nic)/driver_override")" = '(null)' ]
    [ -z "$(ls /run/pmd/bind)" ] || fail 'notes are left'
    ip link show "$(netdev "$(nic)")"
}

check_bind_by_interface_and_twice() {
    down "$(nic)"
    pmd bind -b vfio-pci "$(netdev "$(nic)")"
    pmd bind -b vfio-pci "$(nic)" | grep 'nothing to do'
    pmd bind -r "$(nic)"
    [ "$(pci_driver "$(nic)")" = igb ]
}

check_devbind_unbind_leaves_no_driver() {
    down "$(nic)"
    pmd bind -u "$(nic)"
    [ -z "$(pci_driver "$(nic)")" ]
    pmd status | grep -A 3 'without a driver' | grep "$(nic)"
    pmd unbind "$(nic)"
    [ "$(pci_driver "$(nic)")" = igb ]
}

check_interface_in_use_is_refused() {
    local name
    name=$(netdev "$(nic)")
    ip link set "$name" up
    refused "$name is up" --force -- pmd bind "$(nic)"
    ip addr add 10.3.0.1/24 dev "$name"
    refused "$name has" route -- pmd bind "$(nic)"
    [ "$(pci_driver "$(nic)")" = igb ]
    pmd bind --force "$(nic)"
    [ "$(pci_driver "$(nic)")" = vfio-pci ]
    pmd unbind "$(nic)"
}

check_interface_in_another_namespace_is_refused() {
    ip netns add elsewhere
    ip link set "$(netdev "$(nic)")" netns elsewhere
    refused 'another network namespace' -- pmd bind "$(nic)"
    ip netns del elsewhere
    wait_until 10 netdev "$(nic)"
}

check_without_rights_nothing_is_changed() {
    down "$(nic)"
    refused 'no permission' root -- unprivileged pmd bind "$(nic)"
    [ "$(pci_driver "$(nic)")" = igb ]
    unprivileged pmd status | grep -q "$(nic)"
    refused 'no permission' -- unprivileged pmd hugepages --reserve 4M
}

check_wrong_words() {
    down "$(nic)"
    refused ixgbe 'dmesg' 'igb has it again' -- pmd bind -b ixgbe "$(nic)"
    [ "$(pci_driver "$(nic)")" = igb ]
    refused no-such-driver modprobe -- pmd bind -b no-such-driver "$(nic)"
    refused 0000:1f:00.0 -- pmd bind 1f:00.0
    refused 'bridge' -- pmd bind 0000:00:00.0
}

check_user_and_group() {
    local file group
    down "$(nic)"
    pmd bind -i -u 1000 -g 1001 "$(nic)"
    group=$(basename "$(readlink "/sys/bus/pci/devices/$(nic)/iommu_group")")
    for file in "/dev/vfio/$group" /dev/vfio/devices/vfio*; do
        ls -l "$file"
        [ "$(stat -c '%u:%g %a' "$file")" = '1000:1001 660' ] || fail "$file is $(stat -c '%u:%g %a' "$file")"
    done
    pmd unbind "$(nic)"
}

check_open_device_is_not_unbound() {
    local group
    down "$(nic)"
    pmd bind "$(nic)"
    group=$(basename "$(readlink "/sys/bus/pci/devices/$(nic)/iommu_group")")
    sleep 50 <>"/dev/vfio/$group" &
    refused "process $!" -- pmd unbind "$(nic)"
    refused "process $!" -- pmd unbind --force "$(nic)"
    pmd status | grep "pid=$!"
    kill $!
    wait $! || true
    pmd unbind "$(nic)"
}

check_functions_are_created() {
    local function
    ip link set "$(netdev "$(other)")" up
    pmd bind --vfs 2 "$(other)" | tee /tmp/vfs
    function=$(sed -n 's/.*virtual functions: \([^ ]*\).*/\1/p' /tmp/vfs)
    [ -e "/sys/bus/pci/devices/$function/physfn" ]
    pmd status | grep "$function.*pf=$(other)"
    down "$(other)"
    refused '2 virtual functions' --force -- pmd bind "$(other)"
    pmd bind "$function"
    [ "$(pci_driver "$function")" = vfio-pci ]
    pmd unbind "$function"
    pmd bind --vfs 0 "$(other)"
    [ ! -e "/sys/bus/pci/devices/$function" ]
    refused 'virtual functions' -- pmd bind --vfs 1000 "$(other)"
}

check_vfio_makes_functions() {
    local function
    down "$(other)"
    pmd bind "$(other)"
    pmd bind -i --vfs 1 "$(other)" | tee /tmp/vfs
    function=$(sed -n 's/.*virtual functions: \([^ ]*\).*/\1/p' /tmp/vfs)
    # The kernel keeps a function of a device in user space from its own drivers.
    [ "$(pci_driver "$function")" = vfio-pci ]
    pmd bind --vfs 0 "$(other)"
    pmd unbind "$(other)"
    [ "$(cat /sys/module/vfio_pci/parameters/enable_sriov)" = N ]
}

check_hugepages() {
    local pages=/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages
    pmd hugepages -p 2M --setup 16M
    [ "$(cat $pages)" = 8 ]
    grep -q ' /dev/hugepages hugetlbfs ' /proc/mounts
    pmd hugepages --show | tee /tmp/pages
    grep -qE '8 +8 +2Mb +16Mb' /tmp/pages
    refused 'of 51200 pages' 'none are reserved' -- pmd hugepages -p 2M --reserve 100G
    [ "$(cat $pages)" = 8 ] || fail "$(cat $pages) pages after a failure"
    pmd hugepages --clear --unmount
    [ "$(cat $pages)" = 0 ]
    if grep ' /dev/hugepages hugetlbfs ' /proc/mounts; then fail 'still mounted'; fi
    mkdir -p /tmp/huge
    pmd hugepages --mount -p 2M -d /tmp/huge
    grep ' /tmp/huge hugetlbfs .*pagesize=2M' /proc/mounts
    pmd hugepages -u -d /tmp/huge
    pmd hugepages --mount
}
