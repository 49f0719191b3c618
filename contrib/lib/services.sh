# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The three processes of a run, started and ended as plain processes. $run is the run's folder:
#   engine/ e/ state/ run/ log/ bin/ config.toml   and   engine.pid daemon.pid gateway.pid

engine_cgroup() { basename "$run"; }

# is_alive NAME: a pid file with the process's start time, so that a number used again is not taken for ours.
is_alive() {
    local pid began
    [[ -e $run/$1.pid ]] || return 1
    { read -r pid; read -r began; } <"$run/$1.pid" || return 1
    [[ -n $began && $(start_time "$pid") == "$began" ]]
}

# start_time PID: in clock ticks since boot; empty for what is gone, or dead and waiting for its parent.
start_time() { sed -n 's/^.*) //; /^Z/!p' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20; }

# note_pid NAME PID
note_pid() { printf '%s\n%s\n' "$2" "$(start_time "$2")" >"$run/$1.pid"; }

start_engine() {
    ! is_alive engine || return 0
    if cgroup_is_empty "$(engine_cgroup)"; then
        # Nothing of an earlier engine lives: to Podman this is a reboot, also where the folder outlived one.
        rm -rf "$(volatile "$run/engine")"
    fi
    write_engine_settings "$run/engine" "$run/engine/storage" "${shared_stores[@]}"
    rm -f "$run/engine/engine.sock"
    (
        close_locks
        exec </dev/null >>"$run/log/engine.log" 2>&1
        in_engine "$run/engine" "$(engine_cgroup)" setsid podman system service --time=0 \
            "unix://$run/engine/engine.sock"
    ) &
    note_service engine $!
    await_socket engine "$run/engine/engine.sock" http://d/_ping 30
}

# Services must not hold the locks that say "this run is in use".
close_locks() {
    [[ -z ${run_lock:-} ]] || exec {run_lock}>&-
}

note_service() {
    disown "$2" 2>/dev/null || true
    note_pid "$1" "$2"
}

# await_socket NAME SOCKET URL SECONDS
await_socket() {
    local deadline=$((SECONDS + $4))
    until curl --silent --fail --max-time 5 --output /dev/null --unix-socket "$2" "$3"; do
        is_alive "$1" || fail_with_log "cannot start $1: it ended" "$run/log/$1.log"
        ((SECONDS < deadline)) || fail_with_log "cannot start $1: no answer in $4 s at $2" "$run/log/$1.log"
        sleep 0.05
    done
}

# end_service NAME SIGNAL SECONDS: sends it, waits, and uses SIGKILL after that.
end_service() {
    local name=$1 signal=$2 seconds=$3 pid child='' began='' deadline
    if is_alive "$name"; then
        read -r pid <"$run/$name.pid"
        deadline=$((SECONDS + seconds))
        [[ $name != engine ]] || child=$(engine_child "$pid")
        [[ -z $child ]] || began=$(start_time "$child")
        [[ -z $child || $signal != KILL ]] || kill -s KILL "$child" 2>/dev/null || true
        kill -s "$signal" "$pid" 2>/dev/null || true
        while is_alive "$name" || [[ -n $began && $(start_time "$child") == "$began" ]]; do
            ((SECONDS < deadline)) || kill -s KILL "$pid" ${child:+"$child"} 2>/dev/null || true
            sleep 0.05
        done
    fi
    rm -f "$run/$name.pid"
}

# engine_child PID: rootless Podman runs as a child of itself in the user namespace. SIGKILL is not passed on to it, and
# at SIGTERM the parent may go first while the child still answers on the connections that it has. Any thread of the
# parent may have made it.
engine_child() {
    local child
    for child in $(cat "/proc/$1/task/"*/children 2>/dev/null); do
        # By its arguments: from Podman 5 on the kernel calls it "exe".
        [[ $(tr '\0' ' ' 2>/dev/null <"/proc/$child/cmdline") != podman\ system\ service* ]] || { echo "$child"; return 0; }
    done
}
