# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# notebookd and its gateway in a run: folders, configuration, start. $run, $state, $venv and $gateway are the run's.

# What CMD and contrib/lib/service are told.
write_run_environment() {
    run_environment=("NOTEBOOKD_RUN=$run" "NOTEBOOKD_ENGINE=$run/engine/engine.sock")
    if [[ -z $engine_only ]]; then
        run_environment+=("NOTEBOOKD_SOCKET=$run/run/api.sock" "NOTEBOOKD_GATEWAY=$gateway"
            "NOTEBOOKD_CONFIG=$run/notebookd.toml" "NOTEBOOKD_STATE=$state")
    fi
    # -g: read inside a function, they are still everybody's.
    declare -p run state venv gateway shared_stores | sed 's/^declare -\(.\)/declare -g\1/; s/^declare -g-/declare -g/' \
        >"$run/environment"
}

# mount_editors: what notebooks write to beside their workspaces, bounded as by run-notebookd-editors.mount. Before the
# engine starts, which sees no mount made later where the root's mounts are private.
mount_editors() {
    install -d -o notebookd -g notebookd-svc -m 0755 "$run/run"
    install -d -o notebookd -g notebookd-gateway -m 2750 "$run/run/editors"
    [[ -z $(ls -A "$run/run/editors") ]] || return 0 # mounted, or notebooks run in it
    ! mountpoint -q "$run/run/editors" || return 0
    mount -t tmpfs -o size=16M,nr_inodes=65536,mode=2750,uid=notebookd,gid=notebookd-gateway,nosuid,nodev,noexec \
        tmpfs "$run/run/editors" || say "cannot bound the folders of editors: mount fails"
}

unmount_editors() { ! mountpoint -q "$run/run/editors" || umount -l "$run/run/editors"; }

# prepare_folders: the runtime folder as tmpfiles.d makes it on an installed machine, and the state.
prepare_folders() {
    local program
    install -d -o notebookd -g notebookd-svc -m 0755 "$run/run"
    install -d -o notebookd -g notebookd-gateway -m 2750 "$run/run/editors" "$run/run/routes" "$run/run/gateway"
    install -d -o notebookd-gateway -g notebookd-gateway -m 2770 "$run/run/activity"
    install -d -o notebookd -g notebookd-svc -m 0700 "$state"
    setpriv --reuid notebookd --regid notebookd-svc --init-groups test -w "$state" ||
        fail "cannot keep state in $state: the account notebookd cannot enter one of the folders above it"
    for program in notebookd notebookd-gateway notebookctl; do
        ln -sfn "$venv/bin/$program" "$run/bin/$program"
    done
}

# choose_gateway [--only]: the address in --config; else port 8421 if it is free, else, without --only, another.
choose_gateway() {
    [[ -z $config ]] || gateway=$("$python" "$lib/configure.py" --over "$config" --print gateway.listen) ||
        fail "cannot use the configuration $config"
    [[ -z $gateway ]] || return 0
    gateway=127.0.0.1:$("$python" "$lib/free_port.py" 8421 "$@") ||
        fail "cannot start the gateway: port 8421 of 127.0.0.1 or ::1 is taken; who has it: ss -ltnp 'sport = 8421'"
}

write_config() {
    local over=() values=("paths.state=$state" "paths.runtime=$run/run" "api.socket=$run/run/api.sock"
        "engine.socket=$run/engine/engine.sock" "gpus.driver=$driver" "gateway.listen=$gateway"
        "images.recipes=$run/recipes")
    [[ $driver != simulated ]] || values+=("gpus.simulated=$gpus")
    [[ -z $config ]] || over=(--over "$config")
    "$python" "$lib/configure.py" "${over[@]}" "${values[@]}" >"$run/notebookd.toml.new" ||
        fail "cannot use the configuration $config"
    chmod 0644 "$run/notebookd.toml.new"
    mv "$run/notebookd.toml.new" "$run/notebookd.toml"
    write_catalogue
    write_recipes
}

# What the recipes offer, as an administrator would lay it there.
write_catalogue() {
    local recipe
    rm -rf "$run/catalogue.d"
    install -d -m 0755 "$run/catalogue.d"
    for recipe in "${recipes[@]}"; do
        install -m 0644 "$contrib/images/$recipe/catalogue.toml" "$run/catalogue.d/$recipe.toml"
    done
}

# All recipes, for `notebookctl image build`: the account cannot read every checkout.
write_recipes() {
    rm -rf "$run/recipes"
    install -d -m 0755 "$run/recipes"
    tar -C "$contrib/images" --create . | tar -C "$run/recipes" --extract --no-same-owner
    chmod -R go=rX "$run/recipes"
}

# as_service NAME ACCOUNT GROUP CMD ...: starts a process of its own session; its output goes to its log.
as_service() {
    local name=$1 service_account=$2 group=$3
    shift 3
    (
        close_locks
        cd /
        exec </dev/null >>"$run/log/$name.log" 2>&1
        exec env -i LANG=C.UTF-8 PATH=/usr/local/bin:/usr/bin:/bin PYTHONUNBUFFERED=1 \
            ${LD_LIBRARY_PATH:+"LD_LIBRARY_PATH=$LD_LIBRARY_PATH"} ${NVML_WORLD:+"NVML_WORLD=$NVML_WORLD"} \
            ${NOTEBOOKD_LOOP_WATCH:+"NOTEBOOKD_LOOP_WATCH=$NOTEBOOKD_LOOP_WATCH"} \
            setpriv --reuid "$service_account" --regid "$group" --init-groups setsid "$@"
    ) &
    note_service "$name" $!
}

start_daemon() {
    ! is_alive daemon || return 0
    as_service daemon notebookd notebookd-svc "$venv/bin/notebookd" --config "$run/notebookd.toml"
    await_socket daemon "$run/run/api.sock" http://localhost/v1/health 60
}

start_gateway() {
    local deadline=$((SECONDS + 30))
    ! is_alive gateway || return 0
    as_service gateway notebookd-gateway notebookd-gateway "$venv/bin/notebookd-gateway" \
        --config "$run/notebookd.toml"
    # Any answer will do: it has no page of its own.
    until curl --silent --max-time 5 --output /dev/null "http://$gateway/"; do
        is_alive gateway || fail_with_log "cannot start gateway: it ended" "$run/log/gateway.log"
        ((SECONDS < deadline)) || fail_with_log "cannot start gateway: no answer at $gateway" "$run/log/gateway.log"
        sleep 0.05
    done
}
