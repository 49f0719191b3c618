# SPDX-License-Identifier: Apache-2.0
"""What the doctor looks at: files below a root, programs, and what answers on a socket.

Only the standard library, and no daemon: it has to work when nothing else does.
"""

from __future__ import annotations

import ctypes
import grp
import http.client
import json
import os
import pwd
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

from notebookd.config import Config
from notebookd.domain.catalogue import Catalogue

ANSWER_TIMEOUT_S = 5.0


class NotSeen(Exception):
    """Something could not be looked at; the text says why."""


class SocketConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket, of any path length."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=ANSWER_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        """Connect through a descriptor: a socket's path has 108 bytes at most, a file's has not."""
        descriptor = os.open(self._path, os.O_PATH | os.O_CLOEXEC)
        try:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.settimeout(self.timeout)
            self.sock.connect(f"/proc/self/fd/{descriptor}")
        finally:
            os.close(descriptor)


def get_over_socket(path: Path, target: str) -> tuple[int, bytes]:
    """Status and body of a GET. Raises OSError or http.client.HTTPException, FileNotFoundError and PermissionError
    among them."""
    connection = SocketConnection(path)
    try:
        connection.request("GET", target)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def program_output(command: Sequence[str], *, timeout_s: float = ANSWER_TIMEOUT_S) -> str:
    """What a program prints. Raises OSError or SubprocessError; one that hangs is left behind, killed or not."""
    started = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env={**os.environ, "LC_ALL": "C"},
    )
    try:
        said, complaint = started.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        started.kill()
        with suppress(subprocess.TimeoutExpired):  # it does not die while it waits for a sick device
            started.wait(timeout=1)
        for pipe in (started.stdout, started.stderr):
            if pipe is not None:
                pipe.close()
        raise
    if started.returncode:
        raise subprocess.CalledProcessError(started.returncode, list(command), said, complaint)
    return said.strip()


def _nvml_uuids() -> list[str]:
    """The UUIDs of the GPUs that the driver knows."""
    probe = Path(__file__).with_name("nvml_probe.py")
    try:
        found = json.loads(program_output([sys.executable, "-I", str(probe)]))
    except subprocess.TimeoutExpired as error:
        raise NotSeen(f"it did not answer in {ANSWER_TIMEOUT_S:g} s: the driver hangs") from error
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise NotSeen(f"the library ended whoever asked it: {error}") from error
    if "uuids" not in found:
        raise NotSeen(str(found.get("trouble")))
    return [str(uuid) for uuid in found["uuids"]]


def _clock_error_s() -> float:
    """How far the kernel holds its clock to be off at most. Raises OSError."""
    record = ctypes.create_string_buffer(512)  # struct timex, of 208 bytes on 64 bits; its modes 0 only read
    if ctypes.CDLL(None, use_errno=True).adjtimex(record) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    word = ctypes.sizeof(ctypes.c_long)
    return int.from_bytes(record.raw[3 * word : 4 * word], sys.byteorder) / 1e6


def _http_status(host: str, port: int) -> int:
    """What an HTTP server answers to a GET of its root. Raises OSError or HTTPException."""
    connection = http.client.HTTPConnection(host, port, timeout=ANSWER_TIMEOUT_S)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status
    finally:
        connection.close()


def _addresses_of(name: str) -> list[str]:
    """The addresses of a host name, as programs find them. Raises OSError."""
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return sorted({str(address[0]) for *_, address in found})


def _group_members(name: str) -> frozenset[str] | None:
    """The accounts that a group lists, None when there is no such group."""
    try:
        return frozenset(grp.getgrnam(name).gr_mem)
    except KeyError:
        return None


def _has_account(name: str) -> bool:
    """Whether there is an account of that name."""
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _root_of_server(socket_path: Path) -> Path | None:
    """The root folder as the process sees it that listens on a socket; None where that cannot be told. An engine may
    live in a mount namespace of its own, with devices of its own."""
    connection = SocketConnection(socket_path)
    try:
        connection.connect()
        credentials = connection.sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        root = Path(f"/proc/{struct.unpack('3i', credentials)[0]}/root")
        return root if (root / "dev").is_dir() else None
    except OSError:
        return None
    finally:
        connection.close()


def _is_nosuid(path: Path) -> bool:
    """Whether set-user-ID bits count for nothing where a path lies."""
    return bool(os.statvfs(path).f_flag & os.ST_NOSUID)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where to look, and by what. ``root`` stands for ``/`` where the system's own files are meant."""

    root: Path = Path("/")
    account: str = "notebookd"
    account_group: str = "notebookd-svc"
    gateway_account: str = "notebookd-gateway"
    gateway_group: str = "notebookd-gateway"
    find_program: Callable[[str], str | None] = shutil.which
    program_output: Callable[[Sequence[str]], str] = program_output
    nvml_uuids: Callable[[], list[str]] = _nvml_uuids
    clock_error_s: Callable[[], float] = _clock_error_s
    http_status: Callable[[str, int], int] = _http_status
    addresses_of: Callable[[str], list[str]] = _addresses_of
    group_members: Callable[[str], frozenset[str] | None] = _group_members
    has_account: Callable[[str], bool] = _has_account
    is_nosuid: Callable[[Path], bool] = _is_nosuid
    root_of_server: Callable[[Path], Path | None] = _root_of_server

    @property
    def has_package(self) -> bool:
        """Whether the package is installed, and not a checkout in use."""
        return (self.root / "usr/sbin/notebookd-engine").exists()

    def as_engine(self, command: str) -> str:
        """How an admin runs a command as the engine would: with its account and its storage."""
        if self.has_package:
            return f"sudo notebookd-engine {command}"
        return f"{command} (as {self.account}, with the engine's settings)"

    @property
    def has_systemd(self) -> bool:
        """Whether systemd runs this machine."""
        return (self.root / "run/systemd/system").is_dir()

    @property
    def account_uid(self) -> int | None:
        """The service account's number, None when there is no such account."""
        try:
            return pwd.getpwnam(self.account).pw_uid
        except KeyError:
            return None

    def read(self, path: str) -> str | None:
        """A system file's text, None when it is absent. Raises NotSeen when it cannot be read."""
        try:
            return (self.root / path.lstrip("/")).read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise NotSeen(f"{path}: {error.strerror}") from error


class Patient:
    """A machine under a configuration, with the answers that several checks share."""

    def __init__(self, config: Config, machine: Machine) -> None:
        self.config = config
        self.machine = machine
        self.catalogue = Catalogue.of(config.images)

    @cached_property
    def engine(self) -> dict[str, Any] | NotSeen:
        """The engine's own description of itself, or why there is none."""
        try:
            status, body = get_over_socket(self.config.engine.socket, "/v4.0.0/libpod/info")
            info = json.loads(body)
        except PermissionError:
            return NotSeen("permission denied: only root and the account itself may ask the engine")
        except (OSError, http.client.HTTPException, ValueError) as error:
            return NotSeen(getattr(error, "strerror", None) or str(error) or type(error).__name__)
        if status != 200 or not isinstance(info, dict):
            return NotSeen(f"it answered with status {status}")
        return info

    def engine_has_image(self, image: str) -> bool:
        """Whether the engine has an image. Raises NotSeen."""
        target = f"/v4.0.0/libpod/images/{quote(image, safe='/:')}/exists"
        try:
            status, _body = get_over_socket(self.config.engine.socket, target)
        except (OSError, http.client.HTTPException) as error:
            raise NotSeen(str(error)) from error
        if status not in {204, 404}:
            raise NotSeen(f"the engine answered with status {status}")
        return status == 204

    @cached_property
    def gpu_uuids(self) -> list[str] | NotSeen:
        """The GPUs that the driver knows, or why it cannot be asked."""
        try:
            return self.machine.nvml_uuids()
        except (NotSeen, ImportError) as error:
            return NotSeen(str(error))


def dig(info: dict[str, Any], *keys: str) -> Any:
    """What lies under a path of keys, None where one is missing."""
    found: Any = info
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found
