# Our VFIO backend behind an IOMMU of AMD's kind. What depends on the IOMMU is checked again.

if [ -e /guest/vfio-kit.sh ]; then . /guest/vfio-kit.sh; else . "$here/checks/vfio/kit.sh"; fi

machine() {
    qemu -device amd-iommu,intremap=on,xtsup=on,dma-remap=on
    vfio_machine
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
        grep "$KIT_EDU: AMD-Vi: Event logged \[IO_PAGE_FAULT" /tmp/faults
    done
}
