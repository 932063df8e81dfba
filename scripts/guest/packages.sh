# What the guest is made of. Each list is part of the key of the cache entry that it goes into.

# The Debian release of the root, and the suite that has a QEMU with a vfio-user client (10.1 or later)
# and a kernel of 2026 (6.12 of the release itself lacks the VF token over cdev, IOAS_MAP_FILE and dma-buf).
SUITE=trixie
NEWER_SUITE=trixie-backports

# Run on the host, out of the root. ipxe-qemu and seabios hold the firmware.
QEMU_PACKAGES=(qemu-system-x86 ipxe-qemu seabios)

# Copied into the initramfs.
TOOL_PACKAGES=(busybox-static bash coreutils findutils util-linux iproute2 iputils-ping ethtool socat pciutils)

# From these packages, all programs that a check may call. Whatever starts another program is here and not
# left to busybox, because busybox's own `timeout`, `xargs` … prefer busybox's `ip` to the real one.
TOOLS=(
    bash ip ss bridge tc ping ethtool socat lspci setpci
    chroot env find nice nohup nsenter setsid stdbuf taskset timeout unshare xargs
)

# The kernel series that the fragment was written for. When Debian has dropped it, the next later one
# that Debian has is taken, and the build says so.
KERNEL_SERIES=7.2
KERNEL_PACKAGES=(build-essential flex bison bc libelf-dev libssl-dev)
