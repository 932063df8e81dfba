# Messages, processes and clean-up, for all other parts.

say() { printf 'guest: %s\n' "$*" >&2; }

# die MESSAGE [EXIT CODE]: 1 is a failure, 2 a usage error.
die() {
    say "$1"
    exit "${2:-1}"
}

# Commands to run when the script ends, however it ends; the last one first.
exit_commands=()
at_exit() { exit_commands=("$(printf '%q ' "$@")" "${exit_commands[@]}"); }

run_exit_commands() {
    local status=$? command
    trap '' INT TERM
    set +e
    for command in "${exit_commands[@]}"; do eval "$command"; done
    exit "$status"
}
trap run_exit_commands EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Starts a command in a process group of its own, so that `end_group` reaches all that it starts, and sets
# `spawned`. Descriptors 5 and 6 (the talk with a guest) and 8 (its lock) stay here; 9 (the build's lock) is
# passed on, because a build that outlives this script still writes to the cache.
spawn() {
    set -m
    "$@" 5>&- 6>&- 8>&- &
    spawned=$!
    set +m
}

# Ends a group made by `spawn`: asks, waits up to 5 s, then kills.
end_group() {
    local i
    kill -TERM -- "-$1" 2>/dev/null || return 0
    for ((i = 0; i < 50; i++)); do
        kill -0 -- "-$1" 2>/dev/null || return 0
        sleep 0.1
    done
    kill -KILL -- "-$1" 2>/dev/null || true
}

# Is a process there and not only a zombie that nobody has waited for?
alive() {
    local stat
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    [[ ${stat##*) } != Z* ]]
}

# step LABEL COMMAND…: one stage of a build. Its output goes to $log; the time is printed, and a sign of life
# each 30 s; on failure the end of the log and the end of the script.
step() {
    local label=$1 start=$SECONDS next=30 status=0
    shift
    printf '== %s: %s\n' "$label" "$*" >>"$log"
    spawn "$@" >>"$log" 2>&1 </dev/null
    step_group=$spawned
    while alive "$spawned"; do
        sleep 0.2
        if ((SECONDS - start >= next)); then
            say "  $label: ${next} s so far: $(tail -n 1 "$log" | cut -c 1-80)"
            ((next += 30))
        fi
    done
    wait "$spawned" || status=$?
    step_group=
    if ((status != 0)); then
        tail -n 30 "$log" >&2
        die "$label failed (exit $status); the whole log is $log"
    fi
    say "  $label: $((SECONDS - start)) s"
}
step_group=
end_step() { [ -z "$step_group" ] || end_group "$step_group"; }
at_exit end_step

# The key of what is read from standard input.
key() { sha256sum | cut -c 1-16; }
