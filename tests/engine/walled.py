# SPDX-License-Identifier: Apache-2.0
"""A network that is reached by a forward proxy alone and whose names nobody else knows, with a private CA: a package
index, a Git server and a WebDAV server, all over TLS."""

from __future__ import annotations

import asyncio
import http.server
import ssl
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tests.engine.live import open_folder, root
from tests.engine.places import own_address
from tests.engine.remote import serve_remote
from tests.mover.git_server import Repository, git_server

INDEX, GIT, DAV = "packages.lab.test", "git.lab.test", "dav.lab.test"


@dataclass(frozen=True, kw_only=True)
class Walled:
    """``asked`` are the names that the proxy was asked for, ``settings`` the configuration that leads there."""

    asked: list[str]
    settings: str
    files: Path
    recipes: Path


@dataclass(kw_only=True)
class _Network:
    """The proxy and, behind it, TLS in front of each server."""

    context: ssl.SSLContext
    backends: dict[str, int]
    fronts: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    servers: list[asyncio.Server] = field(default_factory=list)

    async def serve(self, address: str) -> int:
        for name, port in self.backends.items():
            front = await asyncio.start_server(partial(self._decrypted, port), "127.0.0.1", 0, ssl=self.context)
            self.servers.append(front)
            self.fronts[name] = front.sockets[0].getsockname()[1]
        proxy = await asyncio.start_server(self._asked, address, 0)
        self.servers.append(proxy)
        port: int = proxy.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        for server in self.servers:
            server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0.1)  # what was closed goes in the loop's next turns

    async def _decrypted(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _join(reader, writer, *await asyncio.open_connection("127.0.0.1", port))

    async def _asked(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            method, target, *_ = (await reader.readuntil(b"\r\n\r\n")).decode().split()
            name = target.removesuffix(":443")
            self.asked.append(name)
            if method != "CONNECT" or name not in self.fronts:
                writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                writer.close()
                return
            there = await asyncio.open_connection("127.0.0.1", self.fronts[name])
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await _join(reader, writer, *there)


async def _join(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    other_reader: asyncio.StreamReader,
    other_writer: asyncio.StreamWriter,
) -> None:
    await asyncio.gather(_copy(reader, other_writer), _copy(other_reader, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
    finally:
        writer.close()


@contextmanager
def walled() -> Iterator[Walled]:
    """Serve all of it for as long as the block lasts."""
    with open_folder() as folder, serve_remote() as remote:
        _make_certificates(folder)
        repository = Repository(folder, "code")
        repository.write(**{"main.py": "print('from git')\n"})
        repository.publish()
        index = _index(folder / "index")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.crt", folder / "server.key")
        with git_server(folder / "served", "127.0.0.1") as git, _static(index) as packages:
            dav = int(remote.config.with_name("rclone.conf").read_text().split("127.0.0.1:")[1].split()[0])
            backends = {INDEX: packages, GIT: int(git.rpartition(":")[2]), DAV: dav}
            network = _Network(context=context, backends=backends)
            with _running(network) as proxy:
                yield Walled(
                    asked=network.asked,
                    settings=_settings(folder, proxy),
                    files=remote.files,
                    recipes=folder / "recipes",
                )


@contextmanager
def _running(network: _Network) -> Iterator[str]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    address = own_address()
    try:
        port = asyncio.run_coroutine_threadsafe(network.serve(address), loop).result(20)
        yield f"http://{address}:{port}"
    finally:
        asyncio.run_coroutine_threadsafe(network.close(), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@contextmanager
def _static(folder: Path) -> Iterator[int]:
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def _index(folder: Path) -> Path:
    wheel = "teal-1.0-py3-none-any.whl"
    (folder / "simple" / "teal").mkdir(parents=True)
    with zipfile.ZipFile(folder / "simple" / "teal" / wheel, "w") as packed:
        packed.writestr("teal.py", "COLOUR = 'teal'")
        packed.writestr("teal-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: teal\nVersion: 1.0\n")
        packed.writestr("teal-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        packed.writestr("teal-1.0.dist-info/RECORD", "")
    return folder


def _make_certificates(folder: Path) -> None:
    for words in (
        (
            "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=Lab -keyout ca.key -out ca.crt "
            "-addext keyUsage=critical,keyCertSign,cRLSign"
        ),
        (
            "req -new -newkey rsa:2048 -nodes -subj /CN=lab.test -keyout server.key -out server.csr "
            "-addext subjectAltName=DNS:*.lab.test"
        ),
        (
            "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -out server.crt "
            "-copy_extensions copy"
        ),
    ):
        subprocess.run(["openssl", *words.split()], cwd=folder, check=True, capture_output=True)
    (folder / "ca.crt").chmod(0o644)


def _settings(folder: Path, proxy: str) -> str:
    rclone, recipe = folder / "rclone.conf", folder / "recipes" / "walled"
    rclone.write_text(f"[lab]\ntype = webdav\nurl = https://{DAV}\nvendor = other\n")
    root("chown", "notebookd:notebookd-svc", str(rclone))
    recipe.mkdir(parents=True)
    (recipe / "Containerfile").write_text(
        "ARG BASE=localhost/notebookd/jupyterlab:1\nFROM ${BASE}\nUSER 0:0\n"
        "RUN PIP_CONFIG_FILE=/run/notebookd-build/pip.conf pip3 install --no-cache-dir teal\nUSER 42420:42420\n"
    )
    (recipe / "catalogue.toml").write_text(
        '[[image]]\neditor = "jupyterlab"\nframework = "walled"\nversion = "1"\n'
        'image = "localhost/notebookd-test/walled:1"\n'
    )
    for path in (folder / "recipes", recipe, *recipe.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return (
        f'[notebooks]\nca_file = "{folder}/ca.crt"\n'
        f'[notebooks.env]\nhttps_proxy = "{proxy}"\nPIP_INDEX_URL = "https://{INDEX}/simple"\n'
        f'[images]\nrecipes = "{folder}/recipes"\n[snapshots]\nat_stop = false\n'
        f'[[datastore]]\nalias = "LAB"\ntype = "rclone"\nremote = "lab"\nconfig = "{rclone}"\n'
        'read = ["*"]\nwrite = ["*"]\n'
    )
