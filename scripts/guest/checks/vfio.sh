# Our VFIO backend on the kernel's VFIO behind Intel's IOMMU, over iommufd and type1. Each check is a row of what the host
# side can do, and runs the tests of vfio-hal/tests/vfio_guest that are named after it.

if [ -e /guest/vfio-kit.sh ]; then . /guest/vfio-kit.sh; else . "$here/checks/vfio/kit.sh"; fi

machine() {
    vfio_machine
    vfio_group
    put "$(test_program --lib)" /bin/vfio-unit-tests
    iommu
}

check_open_by_address() { row open_by_address; }
check_open_with_vf_token() { row open_with_vf_token; }
check_class_ids_name_and_type() { row class_ids_name_and_type; }
check_device_and_region_infos() { row device_and_region_infos; }
check_map_and_unmap_windows() { row map_and_unmap_windows; }
check_config_and_region_access() { row config_and_region_access; }
check_reset_and_hot_reset() { row reset_of; }
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

check_entry_limit() {
    local limit=/sys/module/vfio_iommu_type1/parameters/dma_entry_limit old
    old=$(cat $limit)
    echo 3 >$limit
    row entry_limit
    echo "$old" >$limit
}

check_memlock() {
    devices
    chown 1000 /dev/iommu "/dev/vfio/$(group_of "$KIT_EDU")" "/dev/vfio/devices/$(cdev_of "$KIT_EDU")"
    ulimit -l 1024
    local api
    for api in iommufd type1; do
        KIT_VFIO_API=$api nobody vfio-tests --ignored --exact --nocapture dma::memlock
    done
}

# The kernel reports up to ten faults in five seconds.
fresh_faults() {
    sleep 5.5
    dmesg -c >/dev/null
}

# The IOMMU stops what is not mapped, and the kernel's log says so: of this device, at these addresses.
check_dma_outside_is_stopped() {
    devices
    local api address
    for api in iommufd type1; do
        fresh_faults
        run_tests $api outside_of_what_is_mapped
        dmesg -c | tee /tmp/faults
        [ "$(grep -c "DMAR: .*device \[$KIT_EDU\] fault addr" /tmp/faults)" = 3 ] || fail 'not three faults'
        for address in $(sed -nE 's/^(never mapped|mapped for reading only|unmapped): 0x//p' /tmp/tests); do
            grep -q "fault addr 0x$address" /tmp/faults || fail "no fault at $address"
        done
    done
}

check_leave_the_address_space() {
    fresh_faults
    row leave_the_address_space
    dmesg -c | grep "DMAR: .*device \[$KIT_EDU\] fault addr"
}

check_migration() {
    local types=/sys/class/mtty/mtty/mdev_supported_types/mtty-1 uuid
    export KIT_MTTY=83b8f4f2-509f-382f-3c1e-e6bfe0fa1001 KIT_MTTY2=83b8f4f2-509f-382f-3c1e-e6bfe0fa1002
    for uuid in $KIT_MTTY $KIT_MTTY2; do echo $uuid >$types/create; done
    ls -l /sys/bus/mdev/devices/$KIT_MTTY/
    row migration_of_a_device
    for uuid in $KIT_MTTY $KIT_MTTY2; do echo 1 >/sys/bus/mdev/devices/$uuid/remove; done
}

check_written_pages() {
    row written_pages
    vfio-unit-tests --ignored --exact backend::vfio::dirty::tests::written_pages_of_the_test_device | tee /tmp/tests
    grep 'test result: ok. 1 passed' /tmp/tests
}

check_errors_name_the_way_out() {
    devices
    local api
    for api in iommufd type1; do
        refused $api 0000:55:00.0 'there is no device 0000:55:00.0'
        refused $api eth0 "'eth0' is no device"
        bind_driver "$KIT_IGB" igb
        refused $api "$KIT_IGB" "'igb': run \`pmd bind $KIT_IGB\`"
        printf '%s\n' "$KIT_IGB" >/sys/bus/pci/drivers/igb/unbind
        refused $api "$KIT_IGB" "not bound to vfio-pci: run \`pmd bind $KIT_IGB\`"
        bind_driver "$KIT_IGB" vfio-pci
    done
    refused noiommu "$KIT_EDU" 'is behind an IOMMU'
}

check_no_permission() {
    devices
    local group cdev
    group=/dev/vfio/$(group_of "$KIT_EDU2") cdev=/dev/vfio/devices/$(cdev_of "$KIT_EDU2")
    chown 0 /dev/iommu "$group" "$cdev"
    refused iommufd "$KIT_EDU2" "no permission to open /dev/iommu" nobody
    chown 1000 /dev/iommu
    refused iommufd "$KIT_EDU2" "no permission to open $cdev" nobody
    refused type1 "$KIT_EDU2" "no permission to open $group" nobody
    refused auto "$KIT_EDU2" "no permission to open $cdev" nobody
    # The group alone is enough for the automatic choice.
    chown 1000 "$group"
    KIT_OPEN=$KIT_EDU2 KIT_EXPECT=type1 nobody vfio-tests --ignored --exact errors::automatic_choice
    chown 1000 "$cdev"
    KIT_OPEN=$KIT_EDU2 KIT_EXPECT=iommufd nobody vfio-tests --ignored --exact errors::automatic_choice
}

check_device_in_use() {
    devices
    local api
    export KIT_HELD=/tmp/held KIT_RELEASE=/tmp/release
    for api in iommufd type1; do
        rm -f $KIT_HELD $KIT_RELEASE
        KIT_VFIO_API=$api KIT_OPEN=$KIT_EDU vfio-tests --ignored --exact errors::hold &
        wait_until 10 test -e $KIT_HELD
        refused iommufd "$KIT_EDU" 'is in use'
        refused type1 "$KIT_EDU" 'is in use'
        touch $KIT_RELEASE
        wait
    done
}

check_group_not_viable() {
    devices
    bind_driver "$KIT_VIRTIO" virtio-pci
    refused iommufd "$KIT_EDU3" "is not viable: bind all its devices to vfio-pci, or unbind them; held by other drivers: $KIT_VIRTIO"
    refused type1 "$KIT_EDU3" "is not viable: bind all its devices to vfio-pci, or unbind them; held by other drivers: $KIT_VIRTIO"
}

# The last check: the device does not come back.
host_unplug() { printf 'device_del nic\n' | socat - "UNIX:$RUN/monitor.sock"; }
check_removed_while_running() {
    devices
    rm -f /tmp/running
    KIT_VFIO_API=iommufd vfio-tests --ignored --exact --nocapture removal::removed_while_running &
    wait_until 10 test -e /tmp/running
    host unplug
    wait $!
}
