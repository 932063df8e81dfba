# The talk with a guest over its second serial port; image/runner tells what is said there.

# Listens until the guest has ended, or its time is over. Uses the variables of check_in_guest.
talk() {
    local line part='' ended='' output=()
    exec 5<>"$RUN/channel.out" 6<>"$RUN/channel.in"
    while ((SECONDS - start <= guest_seconds)); do
        if IFS= read -r -t 1 -u 5 line; then
            hear "$part$line"
            part=
            continue
        fi
        # A time-out leaves the begin of a line that is still coming.
        part+=$line
        check_helpers
        # Once more after the end, for what was still in the pipe
        [ -z "$ended" ] || return 0
        alive "$qemu" || ended=1
    done
    late=1
    end_group "$qemu"
}

# A helper may end with the guest, but not before.
check_helpers() {
    [ -n "$finished" ] || report_dead_helpers || failed=1
}

hear() {
    local word name rest
    read -r word name rest <<<"$1"
    case $word in
    begin)
        current=$name
        output=()
        ;;
    '|') output+=("${1#| }") ;;
    ok)
        check_helpers
        result[$name]=ok
        printf 'ok %s (%s s)\n' "$name" "$rest"
        [ -z "$verbose" ] || show_output
        ;;
    not-ok)
        check_helpers
        result[$name]=failed
        failed=1
        printf 'not ok %s (%s s): %s\n' "$name" "${rest%% *}" "${rest#* }"
        show_output
        ;;
    call) answer "$name" "$rest" ;;
    done) finished=1 ;;
    *) die "the guest said something unknown: $1" ;;
    esac
}

show_output() {
    ((${#output[@]} == 0)) || printf '    | %s\n' "${output[@]}"
}

# answer ID "FUNCTION WORD…": runs the list's host_FUNCTION for the guest. What comes back is bounded by what
# the guest's serial port can buffer (4,096 bytes; it has no flow control).
answer() {
    local id=$1 words status=0 group end=$((SECONDS + check_seconds))
    read -ra words <<<"$2"
    if [[ ${words[0]} =~ ^[a-z0-9_]+$ ]] && declare -F "host_${words[0]}" >/dev/null; then
        spawn host_call "host_${words[0]}" "${words[@]:1}" >"$RUN/reply" 2>&1 </dev/null
        group=$spawned
        while alive "$group" && ((SECONDS < end)); do sleep 0.05; done
        if alive "$group"; then
            end_group "$group"
            printf 'no end after %s s\n' "$check_seconds" >>"$RUN/reply"
        fi
        wait "$group" 2>/dev/null || status=$?
    else
        printf 'the list has no function host_%s\n' "${words[0]}" >"$RUN/reply"
        status=127
    fi
    {
        tail -c 2000 "$RUN/reply" | awk -v id="$id" '{ print id "| " $0 }'
        printf '%s= %s\n' "$id" "$status"
    } >&6
}

host_call() {
    set -euo pipefail
    "$@"
}
