# SPDX-License-Identifier: Apache-2.0
"""App tokens on a real daemon: at its socket, and on the gateway's port where the admin opened that."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest

from notebookd import wire
from notebookd.client import Client, Refused
from tests.engine.live import Machine, as_account, root

pytestmark = pytest.mark.engine

_CONNECT = """
import socket, sys
try:
    socket.socket(socket.AF_UNIX).connect(sys.argv[1])
except PermissionError:
    print("kept out")
"""


@pytest.fixture
def token(odd: Machine) -> Iterator[str]:
    """The value of a token of root's, for notebooks of one team."""
    wish = wire.NewToken(name="live", role="ai_training_operator", label_selector="team=live")
    made = odd.client.create_token(wish).value
    yield str(made.status.value)
    odd.client.delete_token(made.id)


def by_the_port(machine: Machine, method: str, path: str, token: str | None, body: Any = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(*machine.gateway, timeout=20)
    headers = {"Host": f"localhost:{machine.gateway[1]}"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else None
    finally:
        connection.close()


def test_a_program_runs_a_notebook_by_a_token_alone(odd: Machine, token: str) -> None:
    spec = {"env": {"editorId": "odd", "frameworkId": "toy"}, "resources": {"cpu": 1}}
    status, made = by_the_port(odd, "POST", "/v1/notebook", token, spec)
    assert (status, made["spec"]["labels"], made["user"]) == (200, {"team": "live"}, "root")
    odd.made.append(made["id"])
    by_socket = Client(str(odd.socket), token=token)
    assert [each.id for each in by_socket.list_notebooks().value.items] == [made["id"]]
    assert by_the_port(odd, "DELETE", f"/v1/notebook/{made['id']}?force=true", token)[0] == 204


def test_without_one_the_port_gives_nothing(odd: Machine, token: str) -> None:
    assert by_the_port(odd, "GET", "/v1/me", token)[0] == 200
    for wrong in (None, token[:-1], "nbd_" + "A" * 64):
        status, body = by_the_port(odd, "GET", "/v1/me", wrong)
        assert (status, body["code"]) == (401, "unauthenticated")


def test_a_dead_value_is_dead_on_both_roads(odd: Machine, token: str) -> None:
    mine = next(each for each in odd.client.list_tokens().value.items if each.spec.name == "live")
    renewed = odd.client.renew_token(mine.id).value.status.value
    assert by_the_port(odd, "GET", "/v1/me", token)[0] == 401
    with pytest.raises(Refused):
        Client(str(odd.socket), token=token).me()
    assert by_the_port(odd, "GET", "/v1/me", renewed)[0] == 200


def test_the_socket_behind_the_port_is_the_gateways(odd: Machine) -> None:
    path = odd.socket.parent / "gateway" / "api.sock"
    seen = root("stat", "--format=%a %U %G", str(path), str(path.parent)).split("\n")
    assert seen[:2] == ["660 notebookd notebookd-gateway", "2750 notebookd notebookd-gateway"]
    assert path.is_socket()
    drop = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
    assert root(*drop, "/usr/bin/python3", "-c", _CONNECT, str(path)) == "kept out\n"
    ask = ("curl", "--silent", "--unix-socket", str(path), "http://localhost/v1/me")
    assert "unauthenticated" in as_account(*ask).stdout


def test_no_value_is_in_the_logs_or_in_the_database(odd: Machine, token: str) -> None:
    by_the_port(odd, "GET", "/v1/notebook", token)
    found = root("grep", "--recursive", "--text", "--files-with-matches", token, str(odd.state_folder), check=False)
    assert found == ""
    assert token not in odd.log("daemon") + odd.log("gateway")
