# SPDX-License-Identifier: Apache-2.0
"""What a notebook can reach of the host and of others, tried from inside with real sockets and real opens."""

from __future__ import annotations

import json
import secrets
import socket
import subprocess
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.engine.live import Machine, as_account, eventually

pytestmark = pytest.mark.engine

UID = 42420
ENGINES_OWN = {"/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/run/.containerenv", "/run/podman-init"}
DEVICES = {"full", "null", "random", "tty", "urandom", "zero"}
"""That every container has, as OCI wants it: a runtime without rights brings the host's, also as masks over files."""

OPEN = textwrap.dedent("""
    import json, os, socket, sys
    found = []
    for path in json.loads(sys.argv[1]):
        try:
            found.append((path, "lstat", str(os.lstat(path))))
        except FileNotFoundError:
            pass
        except OSError as fault:
            found.append((path, "lstat", str(fault)))
        try:
            os.close(os.open(path, os.O_RDONLY))
            found.append((path, "open", ""))
        except OSError:
            pass
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(2)
                connection.connect(path)
                found.append((path, "connect", ""))
        except OSError:
            pass
    print(json.dumps(found))
""")

# Connecting alone proves nothing: there are networks where something answers for every address.
ASK = textwrap.dedent("""
    import json, socket, sys
    found = {}
    for host, port in json.loads(sys.argv[1]):
        try:
            with socket.create_connection((host, port), timeout=2) as connection:
                connection.sendall(b"GET / HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n")
                found[f"{host} {port}"] = connection.recv(4096).decode("latin-1")
        except OSError:
            pass
    print(json.dumps(found))
""")

SAY = textwrap.dedent("""
    import socket, sys
    listener = socket.create_server(("0.0.0.0", int(sys.argv[1])))
    print("up", flush=True)
    while True:
        listener.accept()[0].sendall(sys.argv[2].encode())
""")

STATUS = "import json; print(json.dumps([open(f'/proc/{pid}/status').read() for pid in ('1', 'self')]))"


def own_addresses() -> list[str]:
    words = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=True).stdout.split()
    return [word.split("%")[0] for word in words]


def test_no_socket_database_or_neighbour_is_in_sight(live: Machine) -> None:
    notebook, neighbour = live.run(), live.run()
    there = [
        live.socket,
        live.engine,
        live.state_folder,
        live.state_folder / "notebookd.db",
        live.workspace(neighbour),
        live.workspace(neighbour) / ".workspace.initialized",
        live.editors / neighbour / "editor.sock",
        live.editors / notebook / "editor.sock",
        live.socket.parent / "routes" / f"{notebook}.json",
        live.config,
        live.run_folder / "log" / "daemon.log",
    ]
    paths = [str(path) for path in there]
    paths += [f"/proc/1/root{path}" for path in paths]
    paths += ["/run/podman/podman.sock", "/run/notebookd/api.sock", "/var/run/docker.sock"]
    assert json.loads(live.execute(notebook, "python3", "-c", OPEN, json.dumps(paths))) == []


def test_only_the_workspace_and_the_editors_folder_are_mounted(live: Machine) -> None:
    notebook = live.run()
    lines = live.execute(notebook, "cat", "/proc/self/mountinfo").splitlines()
    assert {line.split()[4] for line in lines if is_the_hosts(line)} - ENGINES_OWN == {"/workspace", "/run/editor"}


def is_the_hosts(mount: str) -> bool:
    """Whether a line of mountinfo names a disk of the host, or a folder of a tmpfs of it."""
    kind, source = mount.split(" - ")[1].split()[:2]
    root, target = mount.split()[3:5]
    if root.rpartition("/")[2] in DEVICES and target.startswith(("/dev/", "/proc/", "/sys/")):
        return False
    return source.startswith("/") or (kind == "tmpfs" and mount.split()[3] != "/")


def test_a_full_folder_of_an_editor_is_nobody_elses_trouble(live: Machine) -> None:
    """It lies on a file system of its own that is small, and what others need of it takes no bytes."""
    greedy = live.run()
    script = "dd if=/dev/zero of=/run/editor/fill bs=1M count=64 2>&1; stat -c %s /run/editor/fill"
    said = live.execute(greedy, "sh", "-c", script).splitlines()
    assert "No space left on device" in "\n".join(said)
    assert int(said[-1]) <= 16 * 1024 * 1024
    other = live.run()
    live.stop(other)
    live.start(other)
    live.await_state(other, "RUNNING")
    assert live.fetch(other, "/api", token=live.token(other)).status == 200


@contextmanager
def saying(word: str) -> Iterator[list[int]]:
    """Ports of 127.0.0.1 and of ::1 where a listener of the host says the word to whoever connects."""
    listeners = [socket.create_server(("127.0.0.1", 0)), socket.create_server(("::1", 0), family=socket.AF_INET6)]
    ending = threading.Event()

    def say(listener: socket.socket) -> None:
        while not ending.is_set():
            connection, _ = listener.accept()
            with connection:
                connection.sendall(word.encode())

    speakers = [threading.Thread(target=say, args=(listener,)) for listener in listeners]
    for speaker in speakers:
        speaker.start()
    try:
        yield [listener.getsockname()[1] for listener in listeners]
    finally:
        ending.set()
        for listener, speaker in zip(listeners, speakers, strict=True):
            with socket.create_connection(listener.getsockname()[:2], timeout=5) as connection:
                assert connection.recv(100).decode() == word, "it did speak"
            speaker.join()
            listener.close()


def test_the_hosts_loopback_is_out_of_reach(live: Machine) -> None:
    notebook = live.run()
    hosts = ["127.0.0.1", "::1", "localhost", "10.0.2.2", "10.0.2.3", "10.0.2.100", "169.254.1.2", *own_addresses()]
    word = secrets.token_hex(16)
    with saying(word) as ports:
        targets = [(host, port) for host in hosts for port in (*ports, live.gateway[1])]
        answers = json.loads(live.execute(notebook, "python3", "-c", ASK, json.dumps(targets)))
    for target, answer in answers.items():
        assert word not in answer, target
        assert "notebook" not in answer, f"the gateway answers at {target}"


def test_notebooks_do_not_see_each_others_loopback(live: Machine) -> None:
    server, other = live.run(), live.run()
    word = secrets.token_hex(16)
    live.execute(server, "sh", "-c", 'nohup python3 -c "$0" 7777 "$1" >/workspace/up 2>&1 &', SAY, word)
    eventually(lambda: live.execute(server, "cat", "/workspace/up"), lambda seen: "up" in seen, within_s=10)
    targets = json.dumps([(host, 7777) for host in ("127.0.0.1", "10.0.2.2", "10.0.2.100", *own_addresses())])
    assert word in live.execute(server, "python3", "-c", ASK, targets)
    assert word not in live.execute(other, "python3", "-c", ASK, targets)


def test_the_editor_and_its_commands_are_nobody_much(live: Machine) -> None:
    notebook = live.run()
    for status in json.loads(live.execute(notebook, "python3", "-c", STATUS)):
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert fields["Uid"].split() == [str(UID)] * 4
        assert fields["Gid"].split() == [str(UID)] * 4
        assert int(fields["NoNewPrivs"]) == 1
        assert [int(fields[f"Cap{kind}"], 16) for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")] == [0] * 5


def test_a_setuid_program_gives_nothing(live: Machine) -> None:
    """Nor need the mount be nosuid: crun 1.8 forgets that flag for a writable bind under keep-id."""
    notebook = live.run()
    live.execute(notebook, "sh", "-c", "cp /usr/bin/id /workspace/id")
    (live.workspace(notebook) / "id").chmod(0o4755)  # as an older one may lie there: none can be made inside
    assert live.execute(notebook, "/workspace/id", "-u").strip() == str(UID)


def test_other_processes_are_out_of_sight(live: Machine) -> None:
    notebook = live.run()
    script = "import os; print(sum(name.isdigit() for name in os.listdir('/proc')))"
    assert int(live.execute(notebook, "python3", "-c", script)) < 10


def test_other_users_are_refused_at_the_socket(live: Machine) -> None:
    """The service's account, whose uid a container's processes bear on the host, is nobody to the API."""
    script = textwrap.dedent(f"""
        import http.client, socket
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect({str(live.socket)!r})
        connection.request("GET", "/v1/notebook")
        print(connection.getresponse().status)
    """)
    done = as_account("/usr/bin/python3", "-c", script)
    assert done.stdout.strip() in {"401", "403"}, done
