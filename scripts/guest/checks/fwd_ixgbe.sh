# `pmd fwd` on our model of the 82599: `pmd serve` plays it on the host, QEMU makes a PCI device of it, vfio-pci hands it to
# the program behind an Intel IOMMU. The other ends of the cables are two more of them, which Linux's ixgbe drives.

NIC=8086:10fb BIND=
if [ -e /guest/fwd-kit.sh ]; then . /guest/fwd-kit.sh; else . "$here/checks/fwd/kit.sh"; fi

machine() {
    local number
    iommu
    # The kernel's own devices shall not pay for the IOMMU.
    kernel_arguments iommu=pt
    fwd_program
    helper serve "$pmd" serve ixgbe --mac 02:82:59:90:03:00 \
        --socket "$RUN/s0" --link pair,id=a --socket "$RUN/s1" --link pair,id=b \
        --socket "$RUN/s2" --link pair,id=a --socket "$RUN/s3" --link pair,id=b
    for number in 0 1 2 3; do vfio_user $((number + 4)) "$RUN/s$number"; done
}

# The program's are the first two.
nics() { printf '0000:00:04.0\n0000:00:05.0\n'; }

prepare() {
    local nic side number=0 place
    for nic in $(nics); do
        [ "$(pci_driver "$nic")" = vfio-pci ] || pmd bind --force "$nic"
    done
    for side in left right; do
        number=$((number + 1))
        ip netns list | grep -q "^$side" && continue
        ip netns add "$side"
        place=$(netdev "0000:00:0$((number + 5)).0")
        ip link set "$place" name "$side" netns "$side"
        ip -n "$side" addr add "10.7.0.$number/24" dev "$side"
        ip -n "$side" link set "$side" up
    done
    [ "$(cat /proc/sys/vm/nr_hugepages)" -ge 40 ] || pmd hugepages -p 2M --reserve 80M
}

check_forward_over_iommufd() { forwards --vfio-api iommufd; }
check_forward_over_type1() { forwards --vfio-api type1; }
check_echo_over_iommufd() { answers --vfio-api iommufd; }

check_info() {
    prepare
    pmd info -a "$(first)" | tee /tmp/info
    grep -q 'net_ixgbe' /tmp/info
    grep -q '02:82:59:90:03:00' /tmp/info
}
