# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The install outside the checkout: the accounts cannot enter /root, and a checkout may change under a running daemon.

python=/usr/bin/python3

# ensure_install: sets $venv. One environment per set of dependencies, one small one on it per state of the code.
ensure_install() {
    local dependencies version
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "cannot install notebookd: $python is older than 3.11"
    version=$("$python" -c 'import sys; print(sys.version)')
    dependencies=$quickstart_root/deps-$(
        { echo "$version"; cat "$checkout/requirements.lock" "$contrib/lib/build-requirements.lock"; } |
            sha256sum | cut -c 1-8
    )
    venv=$quickstart_root/venv-$(
        (
            cd "$checkout"
            echo "$dependencies"
            find notebookd pyproject.toml -type f -not -path '*/__pycache__/*' -print0 | sort -z | xargs -0 sha256sum
        ) | sha256sum | cut -c 1-8
    )
    if [[ ! -e $dependencies/ready ]]; then
        step "installing what notebookd needs" "$quickstart_root/log/dependencies.log" \
            install_dependencies "$dependencies"
    fi
    if [[ ! -e $venv/ready ]]; then
        step "installing notebookd" "$quickstart_root/log/install.log" install_code "$dependencies" "$venv"
        remove_old_installs
    fi
    touch "$venv/ready"
}

install_dependencies() {
    rm -rf "$1"
    (
        set -e
        umask 022
        "$python" -m venv "$1"
        "$1/bin/pip" install --require-hashes -r "$checkout/requirements.lock"
        "$1/bin/pip" install --require-hashes -r "$contrib/lib/build-requirements.lock"
        touch "$1/ready"
    )
}

# install_code DEPENDENCIES VENV
install_code() {
    rm -rf "$2"
    (
        set -e
        umask 022
        scratch=$(mktemp -d)
        trap 'rm -rf "$scratch"' EXIT
        mkdir "$scratch/source"
        tar -C "$checkout" -cf - --exclude=__pycache__ notebookd pyproject.toml | tar -C "$scratch/source" -xf -
        cp "$checkout"/README* "$checkout"/LICENSE* "$scratch/source" 2>/dev/null || true
        [[ -e $scratch/source/README.md ]] || echo "# notebookd" >"$scratch/source/README.md"
        "$1/bin/pip" wheel --no-deps --no-build-isolation --no-index --wheel-dir "$scratch" "$scratch/source"
        "$python" -m venv --without-pip "$2"
        site=$("$2/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
        "$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' >"$site/dependencies.pth"
        "$1/bin/pip" --python "$2/bin/python" install --no-deps --no-index "$scratch"/notebookd-*.whl
        touch "$2/ready"
    )
}

# Those that no run uses (each run's bin/ points at its own) and none is about to: an hour covers a start.
remove_old_installs() {
    local old used
    used=$(readlink "$quickstart_root"/*/bin/notebookd || true)
    for old in "$quickstart_root"/venv-*; do
        [[ $old != "$venv" && $used != *"$old/"* && -z $(find "$old/ready" -mmin -60 2>/dev/null) ]] || continue
        rm -rf "$old"
    done
}
