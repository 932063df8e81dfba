# A helper that dies under the guest.

machine() { helper short sh -c 'echo last words; sleep 8; exit 3'; }

check_passes() { true; }
check_outlives_the_helper() { sleep 10; }
