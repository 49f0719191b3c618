# SPDX-License-Identifier: Apache-2.0
"""App tokens on an installed machine, where the admin opens the gateway's port to them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.workstation import PORT, Workstation, eventually

CONFIG = "/etc/notebookd/notebookd.toml"
SOCKET = "/run/notebookd/gateway/api.sock"
ME = f"http://localhost:{PORT}/v1/me"


@pytest.fixture(scope="module")
def token(workstation: Workstation) -> Iterator[str]:
    """The value of a token of alice's, good on the port."""
    config = workstation.root("cat", CONFIG)
    workstation.machine.run("tee", "--append", CONFIG, text="[gateway]\napi = true\n")
    workstation.root("systemctl", "restart", "notebookd", "notebookd-gateway")
    yield workstation.ctl("alice", "token", "create", "far", "--role", "operator")
    workstation.ctl("alice", "token", "delete", "far")
    workstation.machine.run("tee", CONFIG, text=config)
    workstation.root("systemctl", "restart", "notebookd", "notebookd-gateway")


def _ask(workstation: Workstation, user: str, token: str) -> tuple[int, str]:
    return workstation.fetch(user, ME, "--header", f"Authorization: Bearer {token}")


def test_the_token_makes_the_actor_whoever_shows_it(workstation: Workstation, token: str) -> None:
    for user in ("mallory", "bob", "olga"):
        status, body = _ask(workstation, user, token)
        assert (status, '"name":"alice"' in body, '"tokenKind":"app"' in body) == (200, True, True)


def test_without_it_no_account_gets_anything_there(workstation: Workstation, token: str) -> None:
    for user in ("mallory", "alice", "olga"):
        assert workstation.fetch(user, ME)[0] == 401
        assert _ask(workstation, user, token[:-1])[0] == 401
        reach = ("curl", "--silent", "--show-error", "--unix-socket", SOCKET, "http://localhost/v1/me")
        assert workstation.machine.run(*reach, user=user, check=False).returncode == 7


@pytest.mark.usefixtures("token")
def test_one_whose_owner_is_no_member_is_worth_nothing(workstation: Workstation) -> None:
    """Within ten seconds: for so long it is believed that an owner is a member."""
    bobs = workstation.ctl("bob", "token", "create", "left")
    workstation.root("gpasswd", "--delete", "bob", "notebookd")
    try:
        eventually(lambda: _ask(workstation, "alice", bobs)[0], lambda status: status == 401, within_s=15, what="it")
    finally:
        workstation.root("gpasswd", "--add", "bob", "notebookd")
    workstation.ctl("bob", "token", "delete", "left")
    assert "left" not in workstation.ctl("bob", "token", "list")


def test_it_stands_in_no_log_of_ours(workstation: Workstation, token: str) -> None:
    ours = workstation.root("journalctl", "--output=json", "--all", "-u", "notebookd", "-u", "notebookd-gateway")
    assert "notebookd" in ours
    assert token not in ours
