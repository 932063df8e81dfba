# `pmd fwd` behind an IOMMU of another kind: virtio-iommu.

NIC=8086:10c9 BIND=
if [ -e /guest/fwd-kit.sh ]; then . /guest/fwd-kit.sh; else . "$here/checks/fwd/kit.sh"; fi

machine() {
    qemu -device virtio-iommu-pci,addr=4
    fwd_igb
}

# QEMU has no interrupt remapping beside virtio-iommu, and the kernel hands out no device without until told to.
check_interrupts_are_not_remapped() {
    prepare
    refused 'allow_unsafe_interrupts=1' -- pmd fwd -a "$(first)" --vfio-api type1
    refused 'allow_unsafe_interrupts=1' -- pmd fwd -a "$(first)" --vfio-api iommufd
    echo 1 >/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts
    echo 1 >/sys/module/iommufd/parameters/allow_unsafe_interrupts
}

check_forward_over_iommufd() { forwards --vfio-api iommufd; }
check_echo_over_type1() { answers --vfio-api type1; }
