# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The person who called: quickstart works as root, but what they asked for runs as them, with their environment.

caller_environment=()

# become_root SELF ARGUMENTS ...: goes on through sudo, keeping the caller's environment in a file only they can read.
become_root() {
    local kept
    if ((EUID == 0)); then
        [[ -z ${QUICKSTART_ENVIRONMENT:-} ]] || take_caller_environment
        return 0
    fi
    command -v sudo >/dev/null || fail "cannot go on as $(id -un): this needs root, or sudo"
    kept=$(mktemp)
    env -0 >"$kept"
    exec sudo -- env QUICKSTART_ENVIRONMENT="$kept" "$@"
}

# What the caller had before sudo took it away; what the image's build may use of it counts for us too.
take_caller_environment() {
    local variable
    mapfile -d '' caller_environment <"$QUICKSTART_ENVIRONMENT"
    rm -f "$QUICKSTART_ENVIRONMENT"
    unset QUICKSTART_ENVIRONMENT
    for variable in "${caller_environment[@]}"; do
        case $variable in
            BASE=* | PIP_CERT=* | SSL_CERT_FILE=* | PIP_INDEX_URL=* | PIP_EXTRA_INDEX_URL=* | PIP_DEFAULT_TIMEOUT=* | \
                PIP_FIND_LINKS=* | NPM_CONFIG_REGISTRY=* | \
                HTTP_PROXY=* | HTTPS_PROXY=* | NO_PROXY=* | http_proxy=* | https_proxy=* | no_proxy=* | LD_LIBRARY_PATH=* | \
                NVML_WORLD=* | NOTEBOOKD_LOOP_WATCH=*)
                export "${variable?}"
                ;;
        esac
    done
}

# run_as_caller: runs command[] in the caller's folder, as them (or as the account); returns its status.
run_as_caller() {
    local variables=() identity=() status=0
    if ((${#caller_environment[@]})); then
        variables=("${caller_environment[@]}")
    else
        mapfile -d '' variables < <(env -0)
    fi
    variables+=("${run_environment[@]}" "PATH=$run/bin:$(caller_path "${variables[@]}")")
    if [[ -n $as_account ]]; then
        identity=(setpriv --reuid "$account" --regid notebookd-svc --init-groups)
        variables+=(HOME="$run/engine/home" USER="$account" LOGNAME="$account" TMPDIR=/tmp)
    elif is_through_sudo; then
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

# Whether it was quickstart that called sudo; who did so themselves wants to be root.
is_through_sudo() { ((${#caller_environment[@]})) && [[ -n ${SUDO_UID:-} ]]; }

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
