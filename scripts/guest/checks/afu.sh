# Linux's own dfl-pci, dfl-fme and dfl-port on our model of an FPGA card, which `pmd serve` plays on the host; then our
# driver on the same card through vfio-pci.
#
# PMD says which program to take; otherwise it is built. Slot 4 is a card with one port whose lists are told by port
# offsets, slot 5 one with two ports, a VSEC and version 1 headers.

machine() {
    local pmd=${PMD:-} bitstream=${BITSTREAM:-} manifest="$here/../../Cargo.toml" target afu
    if [ -z "$pmd" ]; then
        cargo build --release --quiet --bin pmd --manifest-path "$manifest"
        target=$(cargo metadata --format-version 1 --no-deps --manifest-path "$manifest" |
            sed -E 's/.*"target_directory":"([^"]*)".*/\1/')
        pmd=$target/release/pmd
    fi
    if [ -z "$bitstream" ]; then
        cargo build --release --quiet -p pmd-afu-model --example bitstream --manifest-path "$manifest"
        bitstream=$(dirname "$pmd")/examples/bitstream
    fi
    # Orders for the first card: its standard input, held open.
    mkfifo "$RUN/orders"
    # shellcheck disable=SC2016 # for the inner shell
    helper serve bash -c 'exec "$@" <>"$0"' "$RUN/orders" "$pmd" serve afu --socket "$RUN/card.sock" --control \
        ${TRACE:+--trace-mmio}
    helper two "$pmd" serve afu --socket "$RUN/two.sock" --vsec --dfh-v1 --afu he-lpbk --afu he-mem
    iommu
    vfio_user 4 "$RUN/card.sock"
    vfio_user 5 "$RUN/two.sock"
    for afu in nlb0 he-lpbk; do
        "$bitstream" "$afu" "$RUN/$afu.bit"
        put "$RUN/$afu.bit" "/bits/$afu"
    done
    "$bitstream" he-lpbk "$RUN/foreign.bit" 00000000-1111-2222-3333-444444444444
    put "$RUN/foreign.bit" /bits/foreign
    # An ioctl takes a program that can make one. Perl is on every Debian, and needs no modules for that.
    put "$(command -v perl)"
    put "$pmd" /bin/pmd
    guest_seconds 600
}

host_order() {
    printf '%s\n' "$*" >"$RUN/orders"
    sleep 0.3
    tail -n 1 "$RUN/serve.log"
}

card() { printf '0000:00:04.0\n'; }
two() { printf '0000:00:05.0\n'; }

# devices ADDRESS KIND: the names of a card's FME or ports, such as dfl-fme.0, in order.
devices() {
    local device
    for device in /sys/bus/platform/devices/"$2".*; do
        case $(readlink -f "$device") in
        */"$1"/*) basename "$device" ;;
        esac
    done | sort -V | grep .
}
fme() { printf '/sys/bus/platform/devices/%s' "$(devices "$(card)" dfl-fme)"; }
port() { printf '/sys/bus/platform/devices/%s' "$(devices "$(card)" dfl-port)"; }
# is FILE VALUE: what a file of sysfs says.
is() {
    local value
    value=$(cat "$1")
    [ "$value" = "$2" ] || fail "$1 is '$value', not '$2'"
}
# hwmon NAME: the folder of the card's sensor of that name.
hwmon() {
    grep -lx "$1" "$(fme)"/hwmon/hwmon*/name | sed 's,/name$,,'
}
# dfl-ioctl DEVICE NUMBER VALUE: an ioctl with an int by reference.
dfl_ioctl() {
    perl -e 'open my $f, "+<", $ARGV[0] or die "$!\n"; my $v = pack "l", $ARGV[2]; ioctl $f, hex $ARGV[1], $v or die "$!\n"' "$@"
}
# reconfigure FME PORT FILE: DFL_FPGA_FME_PORT_PR, with a struct dfl_fpga_fme_port_pr.
reconfigure() {
    perl -e '
        my ($device, $port, $file) = @ARGV;
        open my $bits, "<:raw", $file or die "$file: $!\n";
        my $data = do { local $/; <$bits> };
        open my $fme, "+<", "/dev/$device" or die "$device: $!\n";
        my $args = pack "LLLLP", 24, 0, $port, length $data, $data;
        ioctl $fme, 0xb680, $args or die "ioctl: $!\n";
        print "reconfigured with ", length $data, " bytes\n"' "$@"
}

check_cards_are_found() {
    lspci -nnvvxxx -s "$(card)"
    lspci -nnvv -s "$(two)"
    dmesg 2>/dev/null | grep -i dfl || true
    is "/sys/bus/pci/devices/$(card)/device" 0x09c4
    is "/sys/bus/pci/devices/$(two)/device" 0xbcce
    [ "$(pci_driver "$(card)")" = dfl-pci ] || fail "driver '$(pci_driver "$(card)")'"
    [ "$(pci_driver "$(two)")" = dfl-pci ] || fail "driver '$(pci_driver "$(two)")'"
}

check_engines_and_ports_have_drivers() {
    local device
    [ "$(devices "$(card)" dfl-fme | wc -l)" = 1 ]
    [ "$(devices "$(card)" dfl-port | wc -l)" = 1 ]
    [ "$(devices "$(two)" dfl-fme | wc -l)" = 1 ]
    [ "$(devices "$(two)" dfl-port | wc -l)" = 2 ]
    for device in /sys/bus/platform/devices/dfl-fme.* /sys/bus/platform/devices/dfl-port.*; do
        printf '%s: %s\n' "$device" "$(basename "$(readlink "$device/driver")")"
        [ -e "$device/driver" ]
        [ -c "/dev/$(basename "$device")" ]
    done
}

check_identity() {
    is "$(fme)/ports_num" 1
    is "$(fme)/bitstream_id" 0x240000202884c7e
    is "$(fme)/bitstream_metadata" 0x2611210001
    is "$(fme)/cache_size" 0
    is "$(fme)/fabric_version" 0
    is "$(fme)/socket_id" 0
    is "/sys/bus/platform/devices/$(devices "$(two)" dfl-fme)/ports_num" 2
}

check_accelerators() {
    local ports
    is "$(port)/id" 0
    is "$(port)/afu_id" d8424dc4a4a3c413f89e433683f9040b
    mapfile -t ports < <(devices "$(two)" dfl-port)
    is "/sys/bus/platform/devices/${ports[0]}/id" 0
    is "/sys/bus/platform/devices/${ports[0]}/afu_id" 56e203e9864f49a7b94b12284c31e02b
    is "/sys/bus/platform/devices/${ports[1]}/id" 1
    is "/sys/bus/platform/devices/${ports[1]}/afu_id" 8568ab4e6ba54616bb652a578330a8eb
}

check_temperature() {
    local sensor
    sensor=$(hwmon dfl_fme_thermal)
    is "$sensor/temp1_input" 42000
    is "$sensor/temp1_max" 93000
    is "$sensor/temp1_crit" 97000
    is "$sensor/temp1_emergency" 105000
    is "$sensor/temp1_max_policy" 1
    host order temperature 95
    is "$sensor/temp1_input" 95000
    is "$sensor/temp1_max_alarm" 1
    is "$sensor/temp1_crit_alarm" 0
    is "$(port)/power_state" 0x1
    is "$(port)/ap1_event" 1
    is "$(fme)/errors/nonfatal_errors" 0x1
    host order temperature 42
    is "$sensor/temp1_max_alarm" 0
    is "$(port)/power_state" 0x0
    is "$(fme)/errors/nonfatal_errors" 0x0
    is "$(port)/ap1_event" 1
    echo 1 >"$(port)/ap1_event"
    is "$(port)/ap1_event" 0
}

check_power() {
    local sensor
    sensor=$(hwmon dfl_fme_power)
    is "$sensor/power1_input" 28000000
    echo 30000000 >"$sensor/power1_max"
    echo 60000000 >"$sensor/power1_crit"
    is "$sensor/power1_max" 30000000
    is "$sensor/power1_max_alarm" 0
    host order power 61
    is "$sensor/power1_input" 61000000
    is "$sensor/power1_max_alarm" 1
    is "$sensor/power1_crit_alarm" 1
    is "$(port)/power_state" 0x2
    host order power 28
    is "$sensor/power1_crit_alarm" 0
}

check_injected_errors() {
    local errors
    errors=$(fme)/errors
    is "$errors/inject_errors" 0x0
    echo 4 >"$errors/inject_errors"
    is "$errors/nonfatal_errors" 0x40
    echo 3 >"$errors/inject_errors"
    is "$errors/nonfatal_errors" 0x0
    is "$errors/catfatal_errors" 0x900
    echo 0 >"$errors/inject_errors"
    is "$errors/catfatal_errors" 0x0
}

check_engine_errors_appear_and_clear() {
    local errors
    errors=$(fme)/errors
    host order error pcie0 0x48
    host order error fme 0x2
    is "$errors/pcie0_errors" 0x48
    is "$errors/fme_errors" 0x2
    is "$errors/first_error" 0x1000000000000048
    is "$errors/next_error" 0x2
    if (echo 0x1 >"$errors/pcie0_errors") 2>/dev/null; then fail 'another value cleared the errors'; fi
    echo 0x48 >"$errors/pcie0_errors"
    echo 0x2 >"$errors/fme_errors"
    is "$errors/pcie0_errors" 0x0
    is "$errors/fme_errors" 0x0
    is "$errors/first_error" 0x0
}

check_port_errors_appear_and_clear() {
    local errors
    errors=$(port)/errors
    is "$errors/errors" 0x0
    host order error port 0 0x200
    is "$errors/errors" 0x200
    is "$errors/first_error" 0x200
    is "$(fme)/errors/nonfatal_errors" 0x8
    echo 0x200 >"$errors/errors"
    is "$errors/errors" 0x0
    is "$errors/first_error" 0x0
    is "$(fme)/errors/nonfatal_errors" 0x0
    is "$(port)/afu_id" d8424dc4a4a3c413f89e433683f9040b
}

# An eventfd for the port's error interrupt and for a user interrupt; then the events. The last word of each is what the
# kernel says of how many there are.
check_interrupts() {
    local device
    device=$(basename "$(port)")
    perl -e '
        my ($device, $ready) = @ARGV;
        open my $port, "+<", "/dev/$device" or die "$device: $!\n";
        my %kinds = (error => [0x8004b645, 0x4008b646, 1], user => [0x8004b647, 0x4008b648, 4]);
        my @events;
        for my $kind (sort keys %kinds) {
            my ($count, $set, $expected) = @{$kinds{$kind}};
            my $number = pack "L", 0;
            ioctl $port, $count, $number or die "$kind count: $!\n";
            unpack("L", $number) == $expected or die "$kind: ", unpack("L", $number), " interrupts\n";
            my $fd = syscall 290, 0, 0;
            $fd >= 0 or die "eventfd: $!\n";
            ioctl $port, $set, my $args = pack "LLl", 0, 1, $fd or die "$kind set: $!\n";
            open my $event, "<&=", $fd or die "$!\n";
            push @events, [$kind, $event];
        }
        open my $r, ">", $ready or die; close $r;
        $SIG{ALRM} = sub { die "no interrupt\n" };
        alarm 40;
        for (@events) {
            my ($kind, $event) = @$_;
            sysread $event, my $count, 8 or die "$kind: $!\n";
            print "$kind: ", unpack("Q", $count), "\n";
        }' "$device" /tmp/ready >/tmp/events 2>&1 &
    wait_until 20 [ -e /tmp/ready ]
    host order interrupt 0 0
    host order error port 0 0x1
    wait $! || fail "$(cat /tmp/events)"
    cat /tmp/events
    grep -q 'error: 1' /tmp/events
    grep -q 'user: 1' /tmp/events
    echo 0x1 >"$(port)/errors/errors"
}

check_counters() {
    local pmu event
    pmu=/sys/bus/event_source/devices/dfl_fme$(devices "$(card)" dfl-fme | sed 's/.*\.//')
    ls "$pmu/events"
    for event in clock fab_pcie0_read fab_pcie0_write fab_mmio_read fab_mmio_write; do
        printf '%s %s\n' "$event" "$(cat "$pmu/events/$event")"
    done
    [ ! -e "$pmu/events/cache_read_hit" ] || fail 'a card of its own has no cache'
    # fab_mmio_read: event 6 of type 2, all ports; each afu_id is two reads.
    perl -e '
        my ($type, $file) = @ARGV;
        my $attr = pack "LLQQQQQ", $type, 112, 6 | 2 << 12 | 0xff << 16, 0, 0, 0, 0;
        $attr .= "\0" x (112 - length $attr);
        my $fd = syscall 298, $attr, -1, 0, -1, 0;
        $fd >= 0 or die "perf_event_open: $!\n";
        open my $event, "<&=", $fd or die "$!\n";
        sub count { sysread $event, my $value, 8 or die "$!\n"; unpack "Q", $value }
        my $before = count();
        for (1 .. 5) { open my $id, "<", $file or die "$!\n"; <$id>; }
        my $reads = count() - $before;
        $reads == 10 or die "$reads reads of registers, not 10\n";
        print "$reads reads of registers\n"' "$(cat "$pmu/type")" "$(port)/afu_id"
}

check_release_and_assign() {
    local device engine
    device=$(basename "$(port)")
    engine=/dev/$(basename "$(fme)")
    dfl_ioctl "$engine" 4004b681 0
    [ ! -e "/sys/bus/platform/devices/$device" ] || fail 'the port is still there'
    if dfl_ioctl "$engine" 4004b681 0 2>/dev/null; then fail 'released twice'; fi
    dfl_ioctl "$engine" 4004b682 0
    is "$(port)/afu_id" d8424dc4a4a3c413f89e433683f9040b
}

# The PLL's mailbox: a read of its counter M, then the measurement of both clocks.
check_user_clock() {
    local status
    echo 0x0011010400000000 >"$(port)/userclk_freqcmd"
    status=$(cat "$(port)/userclk_freqsts")
    printf 'status %s\n' "$status"
    [ "$((status & 0xff))" = 13 ] || fail "M is $status"
    [ "$((status >> 48 & 3))" = 1 ] || fail 'the sequence did not follow'
    [ "$((status >> 60 & 1))" = 1 ] || fail 'not locked'
    echo 0 >"$(port)/userclk_freqcntrcmd"
    sleep 0.1
    [ "$(($(cat "$(port)/userclk_freqcntrsts") & 0x1ffff))" = 15625 ]
    echo 0x100000000 >"$(port)/userclk_freqcntrcmd"
    sleep 0.1
    [ "$(($(cat "$(port)/userclk_freqcntrsts") & 0x1ffff))" = 31250 ]
}

check_reconfiguration() {
    local region
    region=$(readlink -f "$(fme)"/dfl-fme-region.*/fpga_region/region*)
    is "$region/compat_id" 9926ab6d6c925a68aabca7d84c545738
    reconfigure "$(basename "$(fme)")" 0 /bits/he-lpbk
    is "$(port)/afu_id" 56e203e9864f49a7b94b12284c31e02b
    is "$(port)/errors/errors" 0x0
    reconfigure "$(basename "$(fme)")" 0 /bits/nlb0
    is "$(port)/afu_id" d8424dc4a4a3c413f89e433683f9040b
}

check_foreign_bitstreams_are_refused() {
    local manager
    manager=$(readlink -f "$(fme)"/dfl-fme-mgr.*/fpga_manager/fpga*)
    if reconfigure "$(basename "$(fme)")" 0 /bits/foreign; then fail 'a bitstream for another card was taken'; fi
    grep -q 'reconfig incompatible image' "$manager/status" || fail "$(cat "$manager/status")"
    if reconfigure "$(basename "$(fme)")" 0 /guest/list.sh; then fail 'a script was taken for a bitstream'; fi
    if reconfigure "$(basename "$(fme)")" 3 /bits/nlb0; then fail 'there is no such port'; fi
    # After each failure the kernel counts the port as held in reset once more, and nothing but a new bind ends that.
    if cat "$(port)/afu_id" 2>/dev/null; then fail 'the port is not held in reset'; fi
    card >/sys/bus/pci/drivers/dfl-pci/unbind
    card >/sys/bus/pci/drivers/dfl-pci/bind
    is "$(port)/afu_id" d8424dc4a4a3c413f89e433683f9040b
    reconfigure "$(basename "$(fme)")" 0 /bits/nlb0
    is "$(port)/afu_id" d8424dc4a4a3c413f89e433683f9040b
}

check_unbind_and_bind() {
    local round
    for round in 1 2 3; do
        card >/sys/bus/pci/drivers/dfl-pci/unbind
        [ -z "$(pci_driver "$(card)")" ]
        card >/sys/bus/pci/drivers/dfl-pci/bind
        is "$(port)/afu_id" d8424dc4a4a3c413f89e433683f9040b
        printf 'round %s\n' "$round"
    done
}

# pmd_afu COMMAND…: our tool on a card that vfio-pci holds; what it prints ends in /tmp/says.
pmd_afu() {
    local status=0
    pmd afu "$@" >/tmp/says 2>&1 || status=$?
    cat /tmp/says
    return "$status"
}

# Runs every mode on the first card (native loopback) and on the second one (both host exercisers).
loopback_over() {
    bind_driver "$(card)" vfio-pci
    bind_driver "$(two)" vfio-pci
    pmd_afu lpbk -a "$(card)" --vfio-api "$1"
    grep -q ', 0 failed: PASS' /tmp/says
    pmd_afu lpbk -a "$(two)" --vfio-api "$1"
    grep -q ', 0 failed: PASS' /tmp/says
    pmd_afu mem -a "$(two)" --vfio-api "$1"
    grep -q ', 0 failed: PASS' /tmp/says
}
check_our_driver_over_iommufd() { loopback_over iommufd; }
check_our_driver_over_type1() { loopback_over type1; }

check_our_driver_sees_what_the_kernel_saw() {
    bind_driver "$(card)" vfio-pci
    pmd_afu ls -a "$(card)"
    grep -qi d8424dc4-a4a3-c413-f89e-433683f9040b /tmp/says
    pmd_afu info thermal -a "$(card)"
    grep -q 42 /tmp/says
    pmd_afu info errors -a "$(card)"
}

check_our_driver_finds_a_corrupt_line() {
    local status=0
    bind_driver "$(card)" vfio-pci
    host order corrupt 0 17
    pmd_afu lpbk -a "$(card)" --mode lpbk || status=$?
    host order corrupt 0 off
    [ "$status" = 1 ] || fail "exit $status"
    grep -q 'FAIL' /tmp/says
    pmd_afu lpbk -a "$(card)" --mode lpbk
}

check_the_kernel_takes_the_card_back() {
    bind_driver "$(card)" dfl-pci
    bind_driver "$(two)" dfl-pci
    is "$(port)/afu_id" d8424dc4a4a3c413f89e433683f9040b
    is "$(port)/errors/errors" 0x0
}
