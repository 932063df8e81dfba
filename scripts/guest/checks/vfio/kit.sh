# What the lists of checks of our VFIO backend share: the devices, and how a test is run. On the host `vfio_machine`
# takes it into the guest.

KIT=/guest/vfio-kit.sh

# Builds the test program of vfio-hal/tests/vfio_guest, and adds the devices:
#
#   two edu on the root bus
#   an 82576 behind a root port, so that it can be unplugged and its bus be reset
vfio_machine() {
    put "$(test_program --test vfio_guest)" /bin/vfio-tests
    put "$(command -v setpriv)" /bin/setpriv
    put "$here/checks/vfio/kit.sh" "$KIT"
    # The engine reaches all 64 bits, not just the 28 that it has by default.
    qemu -device edu,addr=4,dma_mask=0xffffffffffffffff -device edu,addr=5,dma_mask=0xffffffffffffffff
    # Unplugged by its own means, not ACPI's; with a link that is up again at once after a reset
    qemu -global ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off
    qemu -device pcie-root-port,id=above,chassis=1,addr=9,x-speed=2_5,x-width=1
    qemu -device igb,id=nic,bus=above,netdev=n0 -netdev user,id=n0,restrict=on
    qemu -chardev "socket,id=hmp,path=$RUN/monitor.sock,server=on,wait=off" -monitor chardev:hmp
    # VFs of a PF that user space has
    kernel_arguments vfio_pci.enable_sriov=1
    memory 768
    guest_seconds 900
}

# test_program WHICH…: builds a test program of vfio-hal and says where it is.
test_program() {
    cargo test --quiet -p vfio-hal --all-features "$@" --no-run --message-format json \
        --manifest-path "$here/../../Cargo.toml" | sed -nE 's/.*"executable":"([^"]+)".*/\1/p'
}

# Two more edu behind a bridge to PCI, where they share an IOMMU group with a virtio NIC.
vfio_group() {
    qemu -device pcie-pci-bridge,id=old,addr=8
    qemu -device edu,bus=old,addr=1,dma_mask=0xffffffffffffffff
    qemu -device edu,bus=old,addr=2,dma_mask=0xffffffffffffffff
    qemu -device virtio-net-pci,bus=old,addr=3,netdev=n1 -netdev user,id=n1,restrict=on
}

# In the guest: names the devices, and binds them to vfio-pci.
devices() {
    local edu device
    mapfile -t edu < <(pci_devices 1234:11e8)
    export KIT_EDU=${edu[0]} KIT_EDU2=${edu[1]} KIT_EDU3=${edu[2]:-} KIT_EDU4=${edu[3]:-} KIT_IGB KIT_VIRTIO
    KIT_IGB=$(pci_devices 8086:10c9)
    KIT_VIRTIO=$(pci_devices 1af4::0200 || true)
    for device in "${edu[@]}" "$KIT_IGB" $KIT_VIRTIO; do
        [ "$(pci_driver "$device")" = vfio-pci ] || bind_driver "$device" vfio-pci
    done
    [ "$(cat /proc/sys/vm/nr_hugepages)" -ge 32 ] || echo 32 >/proc/sys/vm/nr_hugepages
}

group_of() { basename "$(readlink "/sys/bus/pci/devices/$1/iommu_group")"; }
cdev_of() { ls "/sys/bus/pci/devices/$1/vfio-dev"; }

# run_tests INTERFACE NAME…: runs the tests whose names contain one of these, and fails if there is none.
run_tests() {
    KIT_VFIO_API=$1 vfio-tests --ignored --test-threads 1 --nocapture "${@:2}" | tee /tmp/tests
    grep -qE 'test result: ok\. [1-9][0-9]* passed' /tmp/tests || fail 'no such test'
}

# row NAME: a row of what the host side can do, by both interfaces that have an IOMMU.
row() {
    devices
    run_tests iommufd "$@"
    run_tests type1 "$@"
}

# refused INTERFACE DEVICE TEXT [COMMAND…]: opening the device fails with an error that says this. The command runs the
# test, as somebody else for example.
refused() {
    local prefix=("${@:4}")
    KIT_VFIO_API=$1 KIT_OPEN=$2 KIT_EXPECT=$3 "${prefix[@]}" vfio-tests --ignored --exact --nocapture errors::expected_error
}

# A user without privileges.
nobody() { setpriv --reuid 1000 --regid 1000 --clear-groups "$@"; }
