# Our VFIO backend without an IOMMU: devices see physical addresses, and must be asked for explicitly.

if [ -e /guest/vfio-kit.sh ]; then . /guest/vfio-kit.sh; else . "$here/checks/vfio/kit.sh"; fi

machine() {
    vfio_machine
    vfio_group
}

# The mode taints the kernel, and binding says so, each time.
no_iommu() {
    echo 1 >/sys/module/vfio/parameters/enable_unsafe_noiommu_mode
    devices
}

check_no_iommu_says_so() {
    local device
    device=$(pci_devices 1234:11e8 | head -n 1)
    [ ! -e "/sys/bus/pci/devices/$device/iommu_group" ]
    if (bind_driver "$device" vfio-pci); then fail 'bound without an IOMMU'; fi
    refused auto "$device" "$device is behind no IOMMU: switch the IOMMU on"
    refused noiommu "$device" 'no-IOMMU mode is off: write 1 to'
    echo 1 >/sys/module/vfio/parameters/enable_unsafe_noiommu_mode
    refused noiommu "$device" "$device is not bound to vfio-pci"
}

check_mode_must_be_asked_for() {
    no_iommu
    refused auto "$KIT_EDU" 'can only be opened without an IOMMU'
    refused type1 "$KIT_EDU" 'can only be opened without an IOMMU'
    refused iommufd "$KIT_EDU" 'can only be opened without an IOMMU'
    echo 0 >/sys/module/vfio/parameters/enable_unsafe_noiommu_mode
    refused noiommu "$KIT_EDU" 'no-IOMMU mode is off: write 1 to'
}

check_mode_needs_a_privilege() {
    no_iommu
    chown 1000 "/dev/vfio/noiommu-$(group_of "$KIT_EDU")"
    refused noiommu "$KIT_EDU" 'needs CAP_SYS_RAWIO' nobody
}

row() {
    no_iommu
    run_tests noiommu "$@"
}

check_open_by_address() { row open_by_address; }
check_class_ids_name_and_type() { row class_ids_name_and_type; }
check_device_and_region_infos() { row device_and_region_infos; }
check_map_and_unmap_windows() { row map_and_unmap_windows; }
check_config_and_region_access() { row config_and_region_access; }
check_reset_and_hot_reset() { row reset_of_a_function reset_of_a_bus; }
check_interrupts() { row interrupts_; }
check_error_and_request_events() { row error_and_request_events; }
check_dma_map_and_unmap() { row dma_map_and_unmap; }
check_dma_unmap_all() { row dma_unmap_all; }
check_dma_buffers() { row dma_buffers; }
check_iova_ranges() { row iova_; }
check_several_devices_in_one_space() { row several_devices; }
check_low_power() { row low_power; }
check_device_features_and_acpi() { row device_features; }
check_kept_files() { row kept_files; }
