# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What quickstart needs of the machine, and what it gives back: packages, accounts.

engine_packages=(podman crun catatonit uidmap slirp4netns mmdebstrap debian-archive-keyring ca-certificates curl util-linux
    python3 python3-venv git rclone restic)
made_file=$quickstart_root/made # one "user NAME" or "group NAME" a line: what --uninstall may remove

# ensure_packages NAME ...: installs what is missing; asks the network only then.
ensure_packages() {
    local name missing=()
    for name in "$@"; do
        [[ $(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null || true) == installed ]] || missing+=("$name")
    done
    ((${#missing[@]})) || return 0
    command -v apt-get >/dev/null || fail "cannot install ${missing[*]}: this is neither Debian nor Ubuntu"
    step "installing ${missing[*]}" "$quickstart_root/log/packages.log" install_packages "${missing[@]}"
}

install_packages() {
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q
    apt-get install -q -y --no-install-recommends "$@"
}

ensure_group() {
    getent group "$1" >/dev/null && return
    groupadd --system "$1"
    echo "group $1" >>"$made_file"
}

# The two accounts and the two groups for people; names and memberships are those of the package.
ensure_accounts() {
    local group
    for group in notebookd notebookd-admin notebookd-svc notebookd-gateway; do ensure_group "$group"; done
    if ! getent passwd notebookd >/dev/null; then
        useradd --system --gid notebookd-svc --home-dir /var/lib/notebookd --no-create-home \
            --shell /usr/sbin/nologin notebookd
        echo "user notebookd" >>"$made_file"
    fi
    if ! getent passwd notebookd-gateway >/dev/null; then
        useradd --system --gid notebookd-gateway --home-dir /nonexistent --no-create-home \
            --shell /usr/sbin/nologin notebookd-gateway
        echo "user notebookd-gateway" >>"$made_file"
    fi
    id -nG notebookd | tr ' ' '\n' | grep -qx notebookd-gateway || usermod -a -G notebookd,notebookd-gateway notebookd
    ensure_subordinate_ids
}

# The first free block of 65536 ids after all that are given out, the same for users and groups.
ensure_subordinate_ids() {
    local first
    grep -q '^notebookd:' /etc/subuid 2>/dev/null && grep -q '^notebookd:' /etc/subgid 2>/dev/null && return
    touch /etc/subuid /etc/subgid
    first=$(awk -F: 'BEGIN { top = 100000 } { end = $2 + $3; if (end > top) top = end } END { print top }' \
        /etc/subuid /etc/subgid)
    usermod --add-subuids "$first-$((first + 65535))" --add-subgids "$first-$((first + 65535))" notebookd
}

remove_accounts() {
    local kind name
    [[ -e $made_file ]] || return 0
    while read -r kind name; do
        [[ $kind == user ]] || continue
        userdel "$name" 2>/dev/null || true # its subordinate ids go with it
    done <"$made_file"
    while read -r kind name; do
        [[ $kind == group ]] || continue
        ! getent group "$name" >/dev/null || groupdel "$name" || true
    done <"$made_file"
}
