# Checks that go wrong, each in its own way. The harness must say so of each, and only of these.

machine() { check_seconds 8; }

check_passes() { true; }

check_fails_in_the_middle() {
    echo 'before the failure'
    false
    echo 'after the failure'
}

check_fails_in_a_pipe() { false | cat; }

check_reads_an_unset_variable() { : "$no_such_variable"; }

check_says_why() { fail 'because of this'; }

# With a child that would outlive it, and output that looks like a report
check_hangs() {
    printf 'ok hangs 0\n'
    sleep 1000 &
    sleep 1000
}

check_leaves_nothing_running() {
    if pgrep -f '[s]leep 1000'; then fail 'a process of the check before is still there'; fi
}

# A warning of the kernel, by its own test of what it does then
check_makes_the_kernel_warn() { printf 'WARNING: CPU: 0 said by a check\n' >/dev/kmsg; }

check_calls_what_the_host_lacks() { host no_such_function; }

host_sleep() { sleep 1000; }
check_waits_for_the_host() { host sleep; }

check_passes_after_all_that() { true; }
