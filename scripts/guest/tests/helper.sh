# A helper that dies under the guest, and one that is done before.

machine() {
    helper short sh -c 'echo last words; sleep 8; exit 3'
    helper brief true
}

check_passes() { true; }
check_outlives_the_helper() { sleep 10; }
