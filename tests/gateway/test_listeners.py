# SPDX-License-Identifier: Apache-2.0
"""The listening sockets, and the program around them."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from notebookd.errors import ConfigError
from notebookd.gateway import listeners
from notebookd.gateway.listeners import listening


def test_both_loopbacks_are_held_on_one_port() -> None:
    for host in ("127.0.0.1", "::1", "localhost"):
        with listening(host, 0, environ={}) as sockets:
            names = [one.getsockname()[:2] for one in sockets.ports]
        assert [address for address, _ in names] == ["127.0.0.1", "::1"]
        assert names[0][1] == names[1][1]


@contextmanager
def squatted(family: int, address: str) -> Iterator[int]:
    """A port taken at this loopback, and free at the other: below those that the kernel gives to connections."""
    other = socket.AF_INET6 if family == socket.AF_INET else socket.AF_INET
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket(family) as squatter, socket.socket(other) as probe:
            try:
                squatter.bind((address, port))
                probe.bind(("::1" if other == socket.AF_INET6 else "127.0.0.1", port))
            except OSError:
                continue
            probe.close()
            squatter.listen()
            yield port
            return
    pytest.fail("no port is free at both loopbacks")


def test_a_port_that_is_picked_is_free_at_both(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[socket.socket] = []
    bind = listeners._bind

    def contested(address: str, port: int) -> socket.socket | None:
        """Twice, another program takes at ::1 what was picked at 127.0.0.1."""
        if address == "::1" and len(taken) < 2:
            squatter = socket.socket(socket.AF_INET6)
            squatter.bind((address, port))
            squatter.listen()
            taken.append(squatter)
        return bind(address, port)

    monkeypatch.setattr(listeners, "_bind", contested)
    with listening("localhost", 0, environ={}) as sockets:
        ports = {one.getsockname()[1] for one in sockets.ports}
        assert len(sockets.ports) == 2
    assert len(ports) == 1
    assert len(taken) == 2
    for one in taken:
        assert one.getsockname()[1] not in ports
        one.close()


@pytest.mark.parametrize(
    ("family", "address", "shown"),
    [(socket.AF_INET, "127.0.0.1", "127.0.0.1:"), (socket.AF_INET6, "::1", "[::1]:")],
)
def test_either_loopback_taken_is_an_error_that_names_it(family: int, address: str, shown: str) -> None:
    with squatted(family, address) as port:
        with pytest.raises(ConfigError) as refused, listening("127.0.0.1", port, environ={}):
            pass
        assert f"{shown}{port}" in refused.value.message
    with listening("127.0.0.1", port, environ={}):
        pass  # nothing was left half held


def test_another_address_is_held_alone_and_nonsense_is_named() -> None:
    with listening("127.0.0.2", 0, environ={}) as sockets:
        assert len(sockets.ports) == 1
    with pytest.raises(ConfigError, match="not an IP address"), listening("nowhere", 1, environ={}):
        pass


def test_descriptors_for_another_process_are_not_taken() -> None:
    environ = {"LISTEN_PID": "1", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a:b", "OTHER": "x"}
    with listening("127.0.0.1", 0, environ=environ) as sockets:
        assert len(sockets.ports) == 2
    assert environ == {"OTHER": "x"}


def _config(tmp_path: Path, port: int) -> Path:
    for name in ("editors", "routes", "activity"):
        (tmp_path / name).mkdir()
    path = tmp_path / "notebookd.toml"
    path.write_text(f'[paths]\nruntime = "{tmp_path}"\n[gateway]\nlisten = "127.0.0.1:{port}"\n')
    return path


async def _program(config: Path, *, sockets: tuple[socket.socket, ...] = (), **env: str) -> asyncio.subprocess.Process:
    """Start the program as systemd does: passed sockets from descriptor 3 on, LISTEN_PID its own."""
    gather = ""
    if sockets:
        fds = [one.fileno() for one in sockets]
        gather = (
            f"import os; held = [os.dup2(fd, fd + 100) for fd in {fds}];"
            "[os.dup2(fd, 3 + at) for at, fd in enumerate(held)];"
            "os.environ['LISTEN_PID'] = str(os.getpid());"
        )
        env["LISTEN_FDS"] = str(len(fds))
    code = f"{gather}import sys; from notebookd.gateway.main import main; sys.exit(main())"
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        code,
        "--config",
        str(config),
        env={**os.environ, **env},
        pass_fds=[one.fileno() for one in sockets],
        stderr=asyncio.subprocess.PIPE,
    )


async def test_program_says_ready_serves_and_ends_on_sigterm(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        notices.bind(str(tmp_path / "notify"))
        notices.setblocking(False)
        program = await _program(_config(tmp_path, port), NOTIFY_SOCKET=str(tmp_path / "notify"))
        async with asyncio.timeout(20):
            assert await asyncio.get_running_loop().sock_recv(notices, 100) == b"READY=1"
            for host in ("127.0.0.1", "::1"):
                reader, writer = await asyncio.open_connection(host, port)
                writer.write(b"GET /?token=hush HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                assert (await reader.read()).startswith(b"HTTP/1.1 421 ")
                writer.close()
            program.send_signal(signal.SIGTERM)
            assert await asyncio.get_running_loop().sock_recv(notices, 100) == b"STOPPING=1"
            _, log = await program.communicate()
    assert program.returncode == 0
    assert b"hush" not in log
    assert b"Traceback" not in log


async def test_program_serves_on_passed_sockets(tmp_path: Path) -> None:
    with listening("127.0.0.1", 0, environ={}) as sockets:
        port = sockets.ports[0].getsockname()[1]
        program = await _program(_config(tmp_path, port), sockets=(*sockets.ports, sockets.netlink))
        async with asyncio.timeout(20):
            for host in ("127.0.0.1", "::1"):
                reader, writer = await asyncio.open_connection(host, port)
                writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                assert (await reader.read()).startswith(b"HTTP/1.1 421 ")
                writer.close()
            program.send_signal(signal.SIGTERM)
            await program.communicate()
    assert program.returncode == 0


async def test_program_that_cannot_listen_says_where_and_fails(tmp_path: Path) -> None:
    with squatted(socket.AF_INET6, "::1") as port:
        program = await _program(_config(tmp_path, port))
        async with asyncio.timeout(20):
            _, log = await program.communicate()
    assert program.returncode == 1
    assert f"cannot listen on [::1]:{port}".encode() in log
    assert b"Traceback" not in log
