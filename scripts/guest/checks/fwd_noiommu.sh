# `pmd fwd` on QEMU's 82576 on a machine without an IOMMU: not without being told, then by physical addresses.

NIC=8086:10c9 BIND=--noiommu-mode
if [ -e /guest/fwd-kit.sh ]; then . /guest/fwd-kit.sh; else . "$here/checks/fwd/kit.sh"; fi

machine() { fwd_igb; }

check_bind_wants_a_word() {
    refused 'IOMMU' --noiommu-mode -- pmd bind --force "$(first)"
    [ "$(pci_driver "$(first)")" = igb ]
}

check_open_wants_a_word() {
    prepare
    refused 'IOMMU' '--vfio-api noiommu' -- pmd fwd -a "$(first)"
    refused 'IOMMU' -- pmd fwd -a "$(first)" --vfio-api iommufd
}

check_forward_without_iommu() {
    forwards --vfio-api noiommu --rxd 64 --txd 64
    grep 'opened by noiommu' /tmp/says
}
check_echo_without_iommu() { answers --vfio-api noiommu --iova-mode pa --rxd 64 --txd 64; }

check_needs_hugepages() {
    prepare
    refused 'without an IOMMU' '1 GiB' -- pmd fwd -a "$(first)" --vfio-api noiommu --no-huge --duration 1
}

check_unbind_switches_the_mode_off() {
    local nic
    prepare
    for nic in $(nics); do pmd unbind "$nic"; done
    [ "$(cat /sys/module/vfio/parameters/enable_unsafe_noiommu_mode)" = N ]
}
