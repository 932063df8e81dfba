# The guest's kernel dies in the second check.

machine() { memory 256; }

check_passes() { true; }

check_panics() {
    sysctl -w vm.panic_on_oom=2
    tail /dev/zero
}

check_never_runs() { true; }
