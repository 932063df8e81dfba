# What options and host calls promise; run by ./run with
# --memory 700 --cpus 3 --share lists=(this folder) --put /usr/bin/env

check_memory_and_cpus() {
    local kib
    kib=$(sed -nE 's/^MemTotal: +([0-9]+) kB/\1/p' /proc/meminfo)
    ((kib > 600 * 1024 && kib < 700 * 1024)) || fail "$kib KiB of memory"
    [ "$(nproc)" = 3 ]
}

check_share_is_readable_only() {
    mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 lists /mnt
    cmp /mnt/options.sh /guest/list.sh
    if touch /mnt/written 2>/dev/null; then fail 'written to a read-only share'; fi
}

check_program_that_was_put_runs() { env -i A=b env | grep -x A=b; }

# Busybox has an ip of its own, and prefers it when one of its programs starts another.
check_ip_is_the_real_one_everywhere() {
    timeout 5 ip -V | grep iproute2
    echo -V | xargs ip | grep iproute2
    env ip -V | grep iproute2
}

host_lines() { printf 'a\n\n  b  c\nno newline'; }
check_reply_of_the_host_is_exact() { [ "$(host lines)" = $'a\n\n  b  c\nno newline' ]; }

host_much() { seq 1 5000; }
check_long_reply_is_cut_at_its_begin() {
    local reply
    reply=$(host much)
    ((${#reply} >= 1990 && ${#reply} <= 2000)) || fail "${#reply} bytes"
    [ "${reply##*$'\n'}" = 5000 ]
}

host_start() { helper more sleep 1000; }
host_end() { end_helper more; }
check_helper_comes_and_goes() {
    host start
    host end
}
