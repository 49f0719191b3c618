# SPDX-License-Identifier: Apache-2.0
"""The host's resolver changes under a container that runs (a VPN, a renewed lease): names are still found.

In a mount namespace of its own, where /etc can be changed and nobody else sees it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.live import IMAGE, QUICKSTART, open_folder, root

pytestmark = [pytest.mark.engine, pytest.mark.long]

FIRST, SECOND = ("127.0.53.1", "192.0.2.1"), ("127.0.53.2", "192.0.2.2")
"""Where a server listens, and what it says to every question."""
SERVER = """
import socket, struct, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind((sys.argv[1], 53))
while True:
    asked, who = server.recvfrom(512)
    end = 12
    while asked[end]:
        end += asked[end] + 1
    found = struct.unpack(">H", asked[end + 1 : end + 3])[0] == 1
    answer = asked[:2] + b"\\x85\\x80" + asked[4:6] + struct.pack(">HHH", found, 0, 0) + asked[12 : end + 5]
    if found:
        answer += b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\1\\0\\4" + socket.inet_aton(sys.argv[2])
    server.sendto(answer, who)
"""
OUTER = f"""
set -eu
mkdir -p "$0/etc" && mount -t tmpfs none "$0/etc" && mkdir "$0/etc/upper" "$0/etc/work"
mount -t overlay -o "lowerdir=/etc,upperdir=$0/etc/upper,workdir=$0/etc/work" overlay /etc
rm -f /etc/resolv.conf
echo "nameserver {FIRST[0]}" >/etc/resolv.conf
python3 "$0/server.py" {FIRST[0]} {FIRST[1]} & first=$!
python3 "$0/server.py" {SECOND[0]} {SECOND[1]} & second=$!
trap 'kill $first $second' EXIT
{QUICKSTART} --engine-only -- bash "$0/inner.sh"
"""
INNER = f"""
set -eu
podman() {{ command podman --url "unix://$NOTEBOOKD_ENGINE" "$@"; }}
id=$(podman run -d --network slirp4netns:allow_host_loopback=false {IMAGE} sleep 300)
trap 'podman rm -f "$id" >/dev/null' EXIT
find() {{ podman exec "$id" python3 -c 'import socket; print(socket.gethostbyname("name.test"))'; }}
find
echo "nameserver {SECOND[0]}" >/etc/resolv.conf.new && mv /etc/resolv.conf.new /etc/resolv.conf
sleep 2
find
echo "nameserver {FIRST[0]}" >/etc/resolv.conf
sleep 2
find
"""


def test_names_are_found_after_the_hosts_resolver_changed() -> None:
    with open_folder() as folder:
        for name, text in (("server.py", SERVER), ("outer.sh", OUTER), ("inner.sh", INNER)):
            Path(folder, name).write_text(text)
        script = f'exec bash -c "$(cat {folder}/outer.sh)" {folder}'
        said = root("unshare", "-m", "--propagation", "private", "bash", "-c", script, timeout_s=300)
    assert said.split() == [FIRST[1], SECOND[1], FIRST[1]]
