# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What quickstart tells people. Everything goes to stderr: stdout belongs to the command, or to the URL.

quickstart_root=/var/lib/notebookd-quickstart

say() { printf 'quickstart: %s\n' "$*" >&2; }

fail() {
    printf 'quickstart: %s\n' "$*" >&2
    exit 1
}

# fail_with_log TEXT FILE: the reason stands in the log's last lines more often than not.
fail_with_log() {
    say "$1"
    if [[ -s $2 ]]; then
        say "the end of $2:"
        tail -n 25 "$2" | sed 's/^/    /' >&2
    fi
    exit 1
}

# step TEXT LOG CMD ...: a step that may take long, with its seconds and, on a terminal, the log's latest line.
step() {
    local text=$1 log=$2 began=$SECONDS status=0 pid
    shift 2
    say "$text ..."
    "$@" >"$log" 2>&1 </dev/null &
    pid=$!
    while kill -0 "$pid" 2>/dev/null; do
        sleep 0.2
        if [[ -t 2 ]]; then
            printf '\r\033[K  %3d s  %.100s' $((SECONDS - began)) "$(tail -n 1 "$log" | tr -d '\r')" >&2
        elif (((SECONDS - began) % 15 == 14)); then
            say "  $text: $((SECONDS - began)) s"
            sleep 1
        fi
    done
    [[ ! -t 2 ]] || printf '\r\033[K' >&2
    wait "$pid" || status=$?
    ((status == 0)) || fail_with_log "cannot finish \"$text\": status $status" "$log"
    say "$text: done in $((SECONDS - began)) s"
}
