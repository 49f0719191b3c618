# SPDX-License-Identifier: Apache-2.0
"""Where the client looks for a daemon, and as whom."""

from __future__ import annotations

import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from notebookd.client import DEFAULT_SOCKET, Address, BadAnswer, Client, ClientError, Unauthenticated, Unreachable
from tests.cli.toy_server import toy_server

ME = b'{"name": "alice", "role": "ai_training_operator", "tenant": "t", "quotas": {"resources": {}, "storage": 0}}'


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTEBOOKD_SOCKET", raising=False)
    monkeypatch.delenv("NOTEBOOKD_TOKEN", raising=False)


@contextmanager
def gateway(
    status: int = 200, body: bytes = ME, tls: ssl.SSLContext | None = None
) -> Iterator[tuple[int, list[dict[str, str]]]]:
    """A port of this machine that answers everything so: its number, and the headers that came."""
    seen: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_address[1], seen
        finally:
            server.shutdown()
            thread.join()


def test_without_an_address_the_usual_socket_is_meant() -> None:
    assert Client().address.path == DEFAULT_SOCKET


def test_the_environment_says_where_and_as_whom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with toy_server(tmp_path) as toy:
        toy.on("GET /v1/me", ME)
        monkeypatch.setenv("NOTEBOOKD_SOCKET", toy.path)
        Client().me()
        assert "authorization" not in toy.asked[-1].headers
        monkeypatch.setenv("NOTEBOOKD_TOKEN", "nbd_one")
        Client().me()
        assert toy.asked[-1].headers["authorization"] == "Bearer nbd_one"
        Client(token="nbd_two").with_timeout(3).me()
        assert toy.asked[-1].headers["authorization"] == "Bearer nbd_two"
        monkeypatch.setenv("NOTEBOOKD_SOCKET", "/nowhere")
        assert Client(f"unix://{toy.path}").me().value.name == "alice"


@pytest.mark.parametrize("name", ["NOTEBOOKD_SOCKET", "NOTEBOOKD_TOKEN"])
def test_an_empty_variable_says_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "")
    client = Client()
    assert (client.address.path, client.headers()) == (DEFAULT_SOCKET, {})


def test_a_gateway_is_asked_with_the_token() -> None:
    with gateway() as (port, seen):
        assert Client(f"http://localhost:{port}/", token="nbd_x").me().value.name == "alice"
    assert (seen[0]["host"], seen[0]["authorization"]) == (f"localhost:{port}", "Bearer nbd_x")


def test_nobody_asks_a_gateway_without_a_token() -> None:
    with gateway() as (port, seen):
        with pytest.raises(Unauthenticated, match="there is no token") as caught:
            Client(f"http://localhost:{port}").me()
        assert "token create" in str(caught.value.hint)
    assert seen == []


def test_what_is_no_api_is_told_from_one() -> None:
    with gateway(421, b"<html>") as (port, _), pytest.raises(BadAnswer, match="status 421") as caught:
        Client(f"http://localhost:{port}", token="nbd_x").me()
    assert "api = true" in str(caught.value.hint)


def test_a_tunnel_that_is_down_is_unreachable() -> None:
    with gateway() as (port, _):
        pass
    with pytest.raises(Unreachable, match=f"http://localhost:{port}") as caught:
        Client(f"http://localhost:{port}", token="nbd_x").me()
    assert f"ssh -L {port}:127.0.0.1:{port} HOST" in str(caught.value.hint)


def test_https_is_believed_only_with_a_certificate_that_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*made, *names], check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with gateway(tls=tls) as (port, seen):
        client = Client(f"https://localhost:{port}", token="nbd_x")
        with pytest.raises(Unreachable, match="CERTIFICATE_VERIFY_FAILED"):
            client.me()
        assert seen == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert client.me().value.name == "alice"


@pytest.mark.parametrize(
    "host", ["workstation:8421", "10.0.0.1", "localhost.example.org", "127.example.org", "[::2]:8421"]
)
def test_a_token_crosses_no_network_in_clear(host: str) -> None:
    with pytest.raises(ClientError, match="for all to read") as caught:
        Client(f"http://{host}", token="nbd_x")
    assert "https" in str(caught.value.hint)
    assert Address.parse(f"https://{host}").tls


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8421", "127.3.2.1", "[::1]:8421", "x.localhost"])
def test_what_stays_on_this_machine_may_be_clear(host: str) -> None:
    assert not Address.parse(f"http://{host}").tls


NO_ADDRESSES = (
    *("ftp://localhost", "http://", "http://localhost:x", "http://localhost:99999999", "http://u:p@localhost"),
    *("http://localhost/api", "http://localhost?x", "http://local host", "http://a\r\nb", "://x", "http://[::1"),
    "unix://x",
)


@pytest.mark.parametrize("text", NO_ADDRESSES)
def test_what_is_no_address_is_said_so(text: str) -> None:
    with pytest.raises(ClientError, match="cannot use the address") as caught:
        Client(text)
    assert caught.value.hint
