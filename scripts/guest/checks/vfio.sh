# Our VFIO backend on the kernel's VFIO, behind Intel's IOMMU, with QEMU's `edu` and 82576 as devices.
#
# Each check runs tests of vfio-hal/tests/vfio_guest, which are named after the rows of the host side's capabilities.

machine() {
    build_tests
    iommu
    # The engine reaches all 64 bits, not just the 28 that it has by default.
    qemu -device edu,addr=4,dma_mask=0xffffffffffffffff -device edu,addr=5,dma_mask=0xffffffffffffffff
    qemu -device igb,netdev=n0,addr=6 -netdev user,id=n0,restrict=on
    memory 768
    guest_seconds 600
}

# Builds the test program and puts it into the guest as /bin/vfio-tests.
build_tests() {
    local program
    program=$(cargo test --quiet -p vfio-hal --test vfio_guest --no-run --message-format json \
        --manifest-path "$here/../../Cargo.toml" |
        sed -nE 's/.*"name":"vfio_guest".*"executable":"([^"]+)".*/\1/p')
    put "$program" /bin/vfio-tests
}

# Binds the devices and says which they are.
devices() {
    local edu
    mapfile -t edu < <(pci_devices 1234:11e8)
    export KIT_EDU=${edu[0]} KIT_EDU2=${edu[1]} KIT_IGB
    KIT_IGB=$(pci_devices 8086:10c9)
    for device in "$KIT_EDU" "$KIT_EDU2" "$KIT_IGB"; do
        [ "$(pci_driver "$device")" = vfio-pci ] || bind_driver "$device" vfio-pci
    done
}

tests() {
    devices
    KIT_VFIO_API=$1 vfio-tests --ignored --test-threads 1 "${@:2}"
}

check_iommufd() { tests iommufd; }
check_type1() { tests type1; }
