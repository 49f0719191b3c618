# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The run that stays: `quickstart` without a command, --stop and --uninstall.

standing_run=$quickstart_root/main

# What it was brought up with before, it keeps; what is new wants a restart of the services.
add_standing_images() {
    [[ ! -e $standing_run/images ]] || mapfile -t -O "${#images[@]}" images <"$standing_run/images"
}

bring_up() {
    run=$standing_run state=$standing_run/state
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    install -d -m 0755 "$run" "$run/log" "$run/bin"
    exec {run_lock}>"$run/lock"
    flock -n "$run_lock" || fail "another quickstart is bringing it up just now"
    if is_up; then
        say "it is up already: reusing it"
    else
        choose_gateway --only
        trap 'take_down_services' EXIT
        start_all
        printf '%s\n' "${recipes[@]}" >"$run/images"
        trap - EXIT
    fi
    start_first_notebook
}

# The same code and all three processes; what the checkout has changed since then wants a restart.
is_up() {
    [[ -e $run/environment ]] || return 1
    if ! is_alive engine || ! is_alive daemon || ! is_alive gateway || [[ $(installed_venv) != "$venv" ]] ||
        [[ $(sort "$run/images") != "$(printf '%s\n' "${recipes[@]}" | sort)" ]]; then
        take_down_services
        return 1
    fi
    # shellcheck source=/dev/null
    source "$run/environment"
    write_run_environment
}

installed_venv() { readlink "$run/bin/notebookd" | sed 's|/bin/notebookd$||'; }

take_down_services() {
    local name
    for name in gateway daemon; do end_service "$name" TERM 30; done
    if is_alive engine; then
        podman --url "unix://$run/engine/engine.sock" stop --all --time 10 >/dev/null 2>&1 || true
    fi
    end_service engine TERM 10
    end_cgroup "$(engine_cgroup)"
    unmount_editors
}

# start_first_notebook: the last line of stdout is its URL.
start_first_notebook() {
    local found
    found=$(notebookctl get quickstart -o json 2>/dev/null | "$python" -c \
        'import json, sys; print(json.load(sys.stdin)["status"]["state"])' 2>/dev/null) || found=
    case $found in
        RUNNING) ;;
        '')
            say "starting a notebook ..."
            notebookctl run conda jupyterlab --name quickstart --wait >&2 ||
                fail_with_log "cannot start a notebook" "$run/log/daemon.log"
            ;;
        *)
            say "starting the notebook quickstart, which is $found ..."
            notebookctl start quickstart --wait >&2 || fail_with_log "cannot start it" "$run/log/daemon.log"
            ;;
    esac
    print_what_is_there
    notebookctl url quickstart || fail "cannot read the notebook's URL"
}

# notebookctl as the caller, who owns the notebook; quickstart lends them the group for these calls.
notebookctl() {
    local identity=()
    if is_through_sudo; then
        identity=(setpriv --reuid "$SUDO_UID" --regid "$SUDO_GID" --groups "$(caller_groups)")
    fi
    NOTEBOOKD_SOCKET=$run/run/api.sock NOTEBOOKD_GATEWAY=$gateway "${identity[@]}" "$run/bin/notebookctl" "$@" \
        {run_lock}>&-
}

print_what_is_there() {
    say "up: socket $run/run/api.sock, gateway $gateway, logs $run/log"
    say "the client: NOTEBOOKD_SOCKET=$run/run/api.sock $run/bin/notebookctl list"
    ! is_through_sudo || say "to use it without sudo: sudo usermod -a -G notebookd $SUDO_USER, and log in again"
    print_changes
    say "from another machine: ssh -L 8421:127.0.0.1:8421 $(hostname)"
}

print_changes() {
    local made
    made=$(paste -sd , "$made_file" 2>/dev/null | sed 's/,/, /g') || made=
    say "on this machine it has: the folder $quickstart_root; ${made:-no accounts}; ids in /etc/subuid and /etc/subgid"
    say "end it with quickstart --stop, take all of that back with quickstart --uninstall"
}

stop_main() {
    run=$standing_run
    [[ -d $run ]] || { say "nothing is up"; return 0; }
    take_down_services
    say "stopped; notebooks and workspaces are in $run/state, and quickstart starts it again"
}

uninstall() {
    local folder
    [[ -d $quickstart_root ]] || { say "there is nothing of it here"; return 0; }
    for folder in "$quickstart_root"/r-*/; do
        [[ -d $folder ]] || continue
        flock -n "$folder/lock" true || fail "cannot uninstall: a quickstart -- CMD is running in $folder"
    done
    sweep_stale_runs
    stop_main
    end_cgroup image
    remove_accounts
    rm -rf "$quickstart_root"
    say "removed the accounts and $quickstart_root; packages stay"
}
