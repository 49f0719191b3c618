# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The person who called: quickstart works as root, but what they asked for runs as them, with their environment.

# become_root SELF ARGUMENTS ...: goes on through sudo, keeping the caller's environment in a file only they can read.
become_root() {
    local kept
    if ((EUID == 0)); then
        caller_environment=${QUICKSTART_ENVIRONMENT:-}
        unset QUICKSTART_ENVIRONMENT
        return 0
    fi
    command -v sudo >/dev/null || fail "cannot go on as $(id -un): this needs root, or sudo"
    kept=$(mktemp)
    env -0 >"$kept"
    exec sudo -- env QUICKSTART_ENVIRONMENT="$kept" "$@"
}

# run_as_caller: runs command[] in the caller's folder, as them (or as the account); returns its status.
run_as_caller() {
    local variables=() identity=() status=0
    if [[ -n ${caller_environment:-} ]]; then
        mapfile -d '' variables <"$caller_environment"
        rm -f "$caller_environment"
    else
        mapfile -d '' variables < <(env -0)
    fi
    variables+=("${run_environment[@]}" "PATH=$run/bin:$(caller_path "${variables[@]}")")
    if [[ -n $as_account ]]; then
        identity=(setpriv --reuid "$account" --regid notebookd-svc --init-groups)
        variables+=(HOME="$run/engine/home" USER="$account" LOGNAME="$account" TMPDIR=/tmp)
    elif [[ -n ${SUDO_UID:-} && -n ${caller_environment:-} ]]; then
        identity=(setpriv --reuid "$SUDO_UID" --regid "$SUDO_GID" --groups "$(caller_groups)")
    fi
    # In the background, so that a signal reaches our trap at once; with the caller's stdin and their SIGINT all the same.
    env -i "${variables[@]}" env --default-signal=INT,QUIT,TERM,HUP "${identity[@]}" "${command[@]}" <&0 {run_lock}>&- &
    command_pid=$!
    while :; do
        status=0
        wait "$command_pid" || status=$?
        kill -0 "$command_pid" 2>/dev/null || break
    done
    return "$status"
}

# caller_path VARIABLES ...: sudo has a PATH of its own; the command gets the caller's.
caller_path() { printf '%s\n' "$@" | sed -n 's/^PATH=//p' | tail -n 1; }

caller_groups() {
    { id -G "$SUDO_USER" | tr ' ' '\n'; getent group notebookd | cut -d : -f 3; } | sort -nu | paste -sd ,
}

# pass_on SIGNAL: to the command; what does not end within ten seconds is killed.
pass_on() {
    [[ -n ${command_pid:-} ]] || return 0
    kill -s "$1" "$command_pid" 2>/dev/null || true
    (
        sleep 10
        kill -s KILL "$command_pid" 2>/dev/null || true
    ) &
    disown $!
}
