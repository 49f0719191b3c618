# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# An engine: rootless Podman of the account notebookd, on a storage of its own, in a namespace and a cgroup of its own.

account=notebookd
lib=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
contrib=$(dirname "$lib")

# write_engine_settings ROOT STORAGE [SHARED_STORE ...]
write_engine_settings() {
    local root=$1 storage=$2 shared
    shift 2
    shared=$(printf ', "%s"' "$@")
    # In the home, and not named by variables: conmon does not hand those on to the podman that records an exit.
    local settings=$root/home/.config/containers
    install -d -o "$account" -g notebookd-svc -m 0700 "$root" "$root"/{home,tmp} "$(volatile "$root")" "$storage"
    install -d -o "$account" -g notebookd-svc -m 0700 "$root/home/.config" "$settings"
    cat >"$settings/containers.conf" <<END
[containers]
log_driver = "k8s-file"
pids_limit = 0
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "crun"
END
    cat >"$settings/storage.conf" <<END
[storage]
driver = "overlay"
rootless_storage_path = "$storage"
[storage.options]
additionalimagestores = [$( (($#)) && echo "${shared:2}")]
END
}

# volatile ROOT: the engine's runtime folder, beside ROOT and with a short name: Podman refuses a run root of more than 50
# characters, and says so only where nobody looks, when it should record a container's exit.
volatile() { echo "$(dirname "$1")/e"; }

# in_engine ROOT CGROUP CMD ...: becomes CMD, run as the account inside the engine's namespace.
in_engine() {
    local root=$1 cgroup=$2
    shift 2
    exec unshare --mount "$lib/engine-namespace" "$root" "$(volatile "$root")" "$cgroup" "$account" "$@"
}

# end_cgroup NAME: ends every process in it, those of the containers too, and removes it.
end_cgroup() {
    unshare --mount bash -s "$1" <<'END' || say "cannot end every process of the cgroup $1"
        mount --make-rslave /
        if [[ $(stat -f -c %T /sys/fs/cgroup) != cgroup2fs ]]; then
            umount -R -l /sys/fs/cgroup
            mount -t cgroup2 none /sys/fs/cgroup
        fi
        own=/sys/fs/cgroup/notebookd-quickstart/$1
        [[ -d $own ]] || exit 0
        echo 1 >"$own/cgroup.kill"
        for ((i = 0; i < 100; i++)); do
            if grep -qx 'populated 0' "$own/cgroup.events"; then
                find "$own" -depth -type d -exec rmdir {} \; && break
            fi
            sleep 0.05
        done
        rmdir "${own%/*}" 2>/dev/null
        [[ ! -d $own ]]
END
}

# cgroup_is_empty NAME
cgroup_is_empty() {
    unshare --mount bash -s "$1" <<'END'
        mount --make-rslave /
        if [[ $(stat -f -c %T /sys/fs/cgroup) != cgroup2fs ]]; then
            umount -R -l /sys/fs/cgroup
            mount -t cgroup2 none /sys/fs/cgroup
        fi
        own=/sys/fs/cgroup/notebookd-quickstart/$1
        [[ ! -d $own ]] || grep -qx 'populated 0' "$own/cgroup.events"
END
}

# Each recipe's image lies in a store of its own, named by the recipe and by all that it stands on: changed, it is built
# beside the old one. An engine sees the stores of all that it needs, read-only, and their layers are shared.

# recipe_base RECIPE: the recipe that it stands on; nothing for the one that stands on the root file system.
recipe_base() { sed -n 's|^ARG BASE=localhost/notebookd/\(.*\):1$|\1|p' "$contrib/images/$1/Containerfile" | grep -vx base; }

# recipes_below RECIPE: all that it stands on, lowest first, and itself.
recipes_below() {
    local below
    below=$(recipe_base "$1") && recipes_below "$below"
    echo "$1"
}

recipe_hash() {
    local recipe
    for recipe in $(recipes_below "$1"); do
        (cd "$contrib/images" && find build "$recipe" -type f ! -name catalogue.toml -print0 |
            sort -z | xargs -0 sha256sum)
        echo "base ${BASE:-}"
    done | sha256sum | cut -c 1-8
}

# ensure_images RECIPE ...: builds what is missing; sets $recipes and $shared_stores, the stores for an engine.
ensure_images() {
    local recipe store
    mapfile -t recipes < <(for recipe in "$@"; do recipes_below "$recipe"; done | awk '!seen[$0]++')
    shared_stores=()
    exec {image_lock}>"$quickstart_root/images.lock"
    flock -n "$image_lock" || { say "waiting for another quickstart that builds images ..."; flock "$image_lock"; }
    for recipe in "${recipes[@]}"; do
        store=$quickstart_root/images-$(recipe_hash "$recipe")
        [[ -e $store.ready ]] || ensure_image "$recipe" "$store"
        shared_stores+=("$store")
    done
    exec {image_lock}>&-
}

ensure_image() {
    local recipe=$1 store=$2 old
    end_cgroup image
    rm -rf "$store" "$quickstart_root/image"
    step "building the image $recipe (once)" "$quickstart_root/log/image-$recipe.log" build_image "$recipe" "$store"
    echo "$recipe" >"$store.ready"
    for old in "$quickstart_root"/images-*.ready; do
        [[ $old == "$store.ready" || $(cat "$old") != "$recipe" ]] ||
            say "an older image is kept in ${old%.ready}; --uninstall removes it"
    done
}

build_image() {
    local recipe=$1 store=$2 root=$quickstart_root/image/engine status=0 archive=()
    mkdir -p "$quickstart_root/image"
    write_engine_settings "$root" "$store" "${shared_stores[@]}"
    # The account may not be able to enter the checkout.
    cp -r "$contrib/images" "$root/recipes"
    chmod -R a+rX "$root/recipes"
    if [[ -z ${BASE:-} && -z $(recipe_base "$recipe") ]]; then
        "$root/recipes/jupyterlab/rootfs" "$root/base.tar" || return
        chmod a+r "$root/base.tar"
        archive=(--base-archive "$root/base.tar")
    fi
    (in_engine "$root" image "$root/recipes/build" "${archive[@]}" "$recipe") || status=$?
    end_cgroup image
    rm -rf "$quickstart_root/image"
    return "$status"
}
