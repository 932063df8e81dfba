# Our VFIO backend behind an IOMMU that is not Intel's: the paravirtual one. What depends on the IOMMU is checked again.

if [ -e /guest/vfio-kit.sh ]; then . /guest/vfio-kit.sh; else . "$here/checks/vfio/kit.sh"; fi

machine() {
    # QEMU's does not know what is behind a bridge to PCI, and with such devices Linux gives up on it.
    qemu -device virtio-iommu-pci,addr=10
    vfio_machine
}

# It does not remap interrupts: a device could forge those of others.
check_interrupts_without_remapping_are_refused() {
    devices
    refused iommufd "$KIT_EDU" 'does not remap interrupts'
    refused type1 "$KIT_EDU" 'does not remap interrupts'
    echo 1 >/sys/module/iommufd/parameters/allow_unsafe_interrupts
    echo 1 >/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts
}

check_interrupts() { row interrupts_; }
check_dma_map_and_unmap() { row dma_map_and_unmap; }
check_dma_buffers() { row dma_buffers; }
check_iova_ranges() { row iova_; }
check_several_devices_in_one_space() { row several_devices_share several_devices_with; }

check_dma_outside_is_stopped() {
    devices
    local api
    for api in iommufd type1; do
        sleep 5.5
        dmesg -c >/dev/null
        run_tests $api outside_of_what_is_mapped
        dmesg -c | tee /tmp/faults
        grep -E "virtio_iommu.*(page|mapping|unknown) fault" /tmp/faults
    done
}
