# SPDX-License-Identifier: Apache-2.0
"""The example for a LAN in ``contrib/nginx``: TLS in front of the gateway, with a real nginx."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.workstation import CHECKOUT, Workstation, eventually

DOMAIN = "notebooks.example.org"
EXAMPLE = CHECKOUT / "contrib" / "nginx" / "notebookd.conf"
CONFIG = "/etc/notebookd/notebookd.toml"
TLS = "/etc/notebookd/tls"


@pytest.fixture(scope="module")
def host(workstation: Workstation) -> Iterator[str]:
    """A notebook's name in the LAN, behind nginx; as the example's first lines say."""
    config = workstation.root("cat", CONFIG)
    names = f"subjectAltName=DNS:{DOMAIN},DNS:*.{DOMAIN}"
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{TLS}/key.pem")
    certificate = ("-x509", "-days", "2", "-subj", f"/CN={DOMAIN}", "-addext", names, "-out", f"{TLS}/fullchain.pem")
    workstation.root("mkdir", "-p", TLS)
    workstation.root("openssl", "req", *key, *certificate)
    workstation.root("cp", workstation.machine.put(EXAMPLE), "/etc/nginx/conf.d/notebookd.conf")
    ours = f'[gateway]\ndomain = "{DOMAIN}"\nurl = "https://{{id}}.{DOMAIN}/"\n'
    ours += 'trusted_proxies = ["www-data"]\n'
    workstation.machine.run("tee", "--append", CONFIG, text=ours)
    workstation.root("systemctl", "restart", "notebookd", "notebookd-gateway")
    workstation.root("nginx", "-t")
    workstation.root("systemctl", "start", "nginx")
    notebook = workstation.run_notebook("alice", "far")
    yield f"{notebook}.{DOMAIN}"
    workstation.ctl("alice", "delete", "far", "--force", "--yes")
    workstation.root("systemctl", "stop", "nginx")
    workstation.root("rm", "-r", TLS, "/etc/nginx/conf.d/notebookd.conf")
    workstation.machine.run("tee", CONFIG, text=config)
    workstation.root("systemctl", "restart", "notebookd", "notebookd-gateway")


def _from_far(workstation: Workstation, host: str, path: str, *options: str) -> tuple[int, str]:
    """A GET by somebody who trusts the certificate and finds the name in DNS."""
    name = ("--resolve", f"{host}:443:127.0.0.1", "--resolve", f"{host}:80:127.0.0.1")
    trust = ("--cacert", "/tmp/lan.pem")
    return workstation.fetch("mallory", f"https://{host}{path}", *name, *trust, *options)


@pytest.fixture(scope="module")
def opened(workstation: Workstation, host: str) -> str:
    """The same, opened in a browser that now has its session."""
    workstation.root("install", "-m", "0644", f"{TLS}/fullchain.pem", "/tmp/lan.pem")
    status, page = _from_far(workstation, host, f"/?token={workstation.token('alice', 'far')}")
    assert (status, "<title>JupyterLab" in page) == (200, True), page[:500]
    return host


def test_the_url_that_is_printed_is_the_one_in_the_lan(workstation: Workstation, host: str) -> None:
    assert workstation.ctl("alice", "url", "far").startswith(f"https://{host}/?token=")


def test_the_session_is_for_tls_alone(workstation: Workstation, opened: str) -> None:
    jar = workstation.root("cat", "/tmp/jar-mallory").splitlines()
    (cookie,) = [line.split("\t") for line in jar if "notebookd-session" in line]
    assert (cookie[0], cookie[3]) == (f"#HttpOnly_{opened}", "TRUE")


def test_without_tls_one_is_sent_on(workstation: Workstation, opened: str) -> None:
    name = ("--resolve", f"{opened}:80:127.0.0.1", "--max-redirs", "0", "--include")
    status, answer = workstation.fetch("mallory", f"http://{opened}/lab", *name)
    assert (status, f"location: https://{opened}/lab" in answer.lower()) == (301, True)


@pytest.mark.parametrize(("origin", "status"), [("https://{}", 101), ("https://evil.{}", 403), ("https://evil", 403)])
def test_a_websocket_opens_from_the_notebooks_own_page_alone(
    workstation: Workstation, opened: str, origin: str, status: int
) -> None:
    handshake = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
    headers = (*handshake, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", f"Origin: {origin.format(opened)}")
    options = [word for header in headers for word in ("--header", header)]
    path = "/api/events/subscribe"
    seen, _ = _from_far(workstation, opened, path, "--http1.1", "--max-time", "3", "--output", "/dev/null", *options)
    assert seen == status


def test_the_token_is_in_no_log_of_nginxs(workstation: Workstation, opened: str) -> None:
    token = workstation.token("alice", "far")
    log = eventually(
        lambda: workstation.root("sh", "-c", "cat /var/log/nginx/*"),
        lambda text: opened in text,
        what="a line in the log",
    )
    assert token not in log
