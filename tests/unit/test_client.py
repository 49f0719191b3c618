# SPDX-License-Identifier: Apache-2.0
"""The client: what it sends, what it makes of answers, and how it fails."""

from __future__ import annotations

import json
import socket
import threading

import pytest

from notebookd import client as clients
from notebookd import errors, wire
from notebookd.api.errors import STATUS
from notebookd.client import BadAnswer, Client, Refused, Unreachable
from tests.cli.toy_server import toy_server

SPEC = wire.NotebookSpec(env=wire.NotebookEnv(editor_id="jupyterlab", framework_id="conda"))
REFUSED = {"message": "cannot stop x: y", "code": "conflict", "hint": "wait", "details": {"state": "FAILED"}}


@pytest.fixture
def toy(tmp_path):
    with toy_server(tmp_path) as toy:
        yield toy


@pytest.fixture
def client(toy):
    return Client(toy.path)


def test_a_call_keeps_the_bytes_and_gives_the_value(toy, client):
    body = (
        b'{"name": "alice", "role": "ai_training_operator", "tenant": "t", "quotas": {"resources": {}, "storage": 0}}'
    )
    toy.on("GET /v1/me", body)
    reply = client.me()
    assert reply.body == body
    assert reply.value.name == "alice"
    assert toy.asked[0].headers["host"] == "localhost"
    assert "authorization" not in toy.asked[0].headers


def test_a_token_goes_along(toy):
    toy.on("GET /v1/me", {})
    Client(toy.path, token="secret").me()
    assert toy.asked[0].headers["authorization"] == "Bearer secret"


@pytest.mark.parametrize("token", ["a\r\n", "a\n b", "", "a b", "\u20ac"])
def test_a_token_that_can_be_none_is_refused_before_it_is_sent(toy, token):
    caller = Client(toy.path, token=token)
    for call in (caller.me, lambda: caller.write_archive("n", "p", lambda sink: None), caller.headers):
        with pytest.raises(clients.Unauthenticated, match="cannot use the token") as caught:
            call()
        assert (caught.value.status, caught.value.hint is None) == (401, False)
    assert toy.asked == []


@pytest.mark.parametrize("text", ["a\r\nX-More: b", "\u20ac"])
def test_what_no_header_can_bear_is_refused_before_it_is_sent(toy, client, text):
    with pytest.raises(clients.InvalidRequest, match="Idempotency-Key"):
        client.create_notebook(SPEC, idempotency_key=text)
    with pytest.raises(clients.InvalidRequest, match="If-Match"):
        client.patch_notebook("n", wire.NotebookPatch(), if_match=text)
    assert toy.asked == []


def test_create_sends_only_what_is_set(toy, client):
    toy.on("POST /v1/notebook", {})
    client.create_notebook(SPEC, idempotency_key="k")
    assert toy.asked[0].json == {"env": {"editorId": "jupyterlab", "frameworkId": "conda"}}
    assert toy.asked[0].headers["idempotency-key"] == "k"
    assert toy.asked[0].headers["content-type"] == "application/json"


def test_list_sends_its_filters(toy, client):
    toy.on("GET /v1/notebook", {})
    client.list_notebooks(states=["RUNNING", "FAILED"], user="alice", labels={"a": "b"})
    assert toy.asked[0].query == {
        "page": ["1"],
        "size": ["1000"],
        "statusState": ["RUNNING", "FAILED"],
        "userName": ["alice"],
        "labelSelector": ["a=b"],
    }


@pytest.mark.parametrize(
    ("call", "route", "query", "body"),
    [
        (lambda c: c.start_notebook("x"), "PUT /v1/notebook/x/start", {}, b""),
        (lambda c: c.start_notebook("x", discard=True), "PUT /v1/notebook/x/start", {"discard": ["true"]}, b""),
        (lambda c: c.stop_notebook("x"), "PUT /v1/notebook/x/stop", {}, b""),
        (lambda c: c.restart_notebook("x"), "PUT /v1/notebook/x/restart", {}, b""),
        (lambda c: c.delete_notebook("x"), "DELETE /v1/notebook/x", {}, b""),
        (lambda c: c.delete_notebook("x", force=True), "DELETE /v1/notebook/x", {"force": ["true"]}, b""),
        (lambda c: c.rename_notebook("x", "mine"), "PUT /v1/notebook/x/rename", {}, b'{"name":"mine"}'),
        (lambda c: c.label_notebook("x", "a", "b"), "PUT /v1/notebook/x/label", {}, b'{"name":"a","value":"b"}'),
        (lambda c: c.label_notebook("x", "a", None), "PUT /v1/notebook/x/label", {}, b'{"name":"a"}'),
        (
            lambda c: c.patch_notebook("x", wire.NotebookPatch(volumes=None)),
            "PUT /v1/notebook/x",
            {},
            b'{"volumes":null}',
        ),
        (lambda c: c.stop_notebook("a/../b?"), "PUT /v1/notebook/a%2F..%2Fb%3F/stop", {}, b""),
    ],
)
def test_calls_without_an_answer(toy, client, call, route, query, body):
    toy.on(route, status=204)
    call(client)
    (asked,) = toy.asked
    assert (f"{asked.method} {asked.path}", asked.query, asked.body) == (route, query, body)


@pytest.mark.parametrize(
    ("call", "route"),
    [
        (lambda c: c.get_notebook("x"), "GET /v1/notebook/x"),
        (lambda c: c.access("x"), "GET /v1/notebook/x/access"),
        (lambda c: c.why("x"), "GET /v1/notebook/x/why"),
        (lambda c: c.log("x"), "GET /v1/notebook/x/log"),
        (lambda c: c.command(SPEC), "POST /v1/notebook/command"),
        (lambda c: c.list_flavors(), "GET /v1/capabilities/flavor"),
        (lambda c: c.get_flavor("f"), "GET /v1/capabilities/flavor/f"),
        (lambda c: c.list_editors(), "GET /v1/capabilities/notebook/editor"),
        (lambda c: c.get_editor("e"), "GET /v1/capabilities/notebook/editor/e"),
        (lambda c: c.list_frameworks(), "GET /v1/capabilities/notebook/framework"),
        (lambda c: c.get_framework("f"), "GET /v1/capabilities/notebook/framework/f"),
        (lambda c: c.list_quotas(), "GET /v1/capabilities/quota"),
        (lambda c: c.list_gpus(), "GET /v1/gpu"),
        (lambda c: c.queue(), "GET /v1/queue"),
        (lambda c: c.loads(), "GET /v1/load"),
        (lambda c: c.health(), "GET /v1/health"),
    ],
)
def test_calls_with_an_answer(toy, client, call, route):
    toy.on(route, b"[1]")
    assert call(client).body == b"[1]"


def test_streams_give_line_by_line(toy, client):
    toy.on("GET /v1/event", [{"id": number, "at": "t", "actor": "a", "type": "x"} for number in (8, 9)])
    assert [reply.value.id for reply in client.follow_events(after=7, notebook="n")] == [8, 9]
    assert toy.asked[0].query == {"after": ["7"], "notebook": ["n"], "follow": ["true"]}


def test_a_followed_log_can_be_left_early(toy, client):
    toy.on("GET /v1/notebook/x/log", [{"timestamp": "t", "content": str(number)} for number in range(3)])
    lines = client.follow_log("x", tail=5)
    assert next(lines).value.content == "0"
    lines.close()
    assert toy.asked[0].query == {"tail": ["5"], "follow": ["true"]}


def test_exec_target_repeats_the_command():
    target = Client("/nowhere").exec_target("x", ["ls", "-l", "a b"], stdin=True, tty=False)
    assert target == (
        "/v1/notebook/x/exec?command=ls&command=-l&command=a%20b&stdin=true&stdout=true&stderr=true&tty=false"
    )


def test_exec_target_has_variables_and_a_folder():
    target = Client("/nowhere").exec_target("x", ["ls"], stdin=False, tty=False, env={"A": "b=c"}, folder="/tmp")
    assert target.startswith("/v1/notebook/x/exec?command=ls&env=A%3Db%3Dc&workingDir=%2Ftmp&stdin=false")


def test_a_refusal_bears_all_that_the_daemon_said(toy, client):
    toy.on("PUT /v1/notebook/x/stop", REFUSED, status=409)
    with pytest.raises(Refused) as caught:
        client.stop_notebook("x")
    error = caught.value
    assert (error.status, error.code, error.message, error.hint, error.details) == (
        409,
        "conflict",
        "cannot stop x: y",
        "wait",
        {"state": "FAILED"},
    )


def test_a_refused_stream_is_a_refusal(toy, client):
    toy.on("GET /v1/event", REFUSED, status=403)
    with pytest.raises(Refused):
        next(client.events())


@pytest.mark.parametrize("body", [b"<html>", b"", b"[]", b"\xff"])
def test_an_error_that_is_not_ours_is_a_bad_answer(toy, client, body):
    toy.on("GET /v1/me", body, status=502)
    with pytest.raises(BadAnswer, match="502"):
        client.me()


def test_a_body_of_another_shape_is_a_bad_answer(toy, client):
    toy.on("GET /v1/me", b'{"name": 1}')
    with pytest.raises(BadAnswer, match=r"\$\.name"):
        client.me().value  # noqa: B018 - the property decodes


def test_an_unready_daemon_answers_its_health(toy, client):
    toy.on("GET /v1/health", {"status": "failed", "version": "1", "dependencies": {}}, status=503)
    assert client.health().value.status == "failed"


def test_no_socket_is_unreachable(tmp_path):
    with pytest.raises(Unreachable, match="cannot reach notebookd at") as caught:
        Client(str(tmp_path / "none.sock")).me()
    assert "NOTEBOOKD_SOCKET" in caught.value.hint


def test_a_socket_without_a_listener_is_unreachable(tmp_path):
    path = str(tmp_path / "dead.sock")
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(path)
    with pytest.raises(Unreachable) as caught:
        Client(path).me()
    assert "systemctl status notebookd" in caught.value.hint


def test_an_overlong_path_is_unreachable(tmp_path):
    with pytest.raises(Unreachable):
        Client(str(tmp_path / ("x" * 200))).me()


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", b"nonsense\r\n\r\n"])
def test_a_connection_that_breaks_is_unreachable(tmp_path, said):
    path = str(tmp_path / "breaks.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def answer():
            peer, _ = listener.accept()
            with peer:
                peer.recv(65536)
                peer.sendall(said)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(Unreachable):
            Client(path).me()
        thread.join()


def test_a_daemon_that_does_not_answer_is_unreachable(tmp_path):
    path = str(tmp_path / "mute.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        with pytest.raises(Unreachable, match="timed out"):
            Client(path, timeout_s=0.05).me()


def test_refused_details_hold_the_faults(toy, client):
    faults = [{"path": "$.env.editorId", "message": "Missing required field"}]
    body = {"message": "m", "code": "invalid-request", "details": {"faults": faults}}
    toy.on("POST /v1/notebook", json.dumps(body).encode(), status=400)
    with pytest.raises(Refused) as caught:
        client.create_notebook(SPEC)
    assert caught.value.details["faults"] == faults


@pytest.mark.parametrize(("kind", "status"), STATUS.items(), ids=lambda each: getattr(each, "code", str(each)))
def test_every_code_of_the_daemon_has_a_class(toy, client, kind, status):
    toy.on("GET /v1/me", {"message": "m", "code": kind.code}, status=status)
    with pytest.raises(Refused) as caught:
        client.me()
    if status != 503:
        assert type(caught.value).__name__ == kind.__name__
    assert isinstance(caught.value, clients.Unavailable) is (status == 503)
    assert (caught.value.status, caught.value.code) == (status, kind.code)


def test_an_internal_error_has_a_class(toy, client):
    toy.on("GET /v1/me", {"message": "m", "code": errors.NotebookdError.code, "details": {"id": "x"}}, status=500)
    with pytest.raises(clients.InternalError):
        client.me()


def test_a_code_that_is_not_known_yet_is_a_refusal(toy, client):
    toy.on("GET /v1/me", {"message": "m", "code": "out-of-coffee"}, status=418)
    with pytest.raises(Refused) as caught:
        client.me()
    assert type(caught.value) is Refused


def test_an_invalid_request_names_its_faults_by_path(toy, client):
    faults = [{"path": "$.name", "message": "too long"}]
    toy.on("POST /v1/notebook", {"message": "m", "code": "invalid-request", "details": {"faults": faults}}, status=400)
    with pytest.raises(clients.InvalidRequest) as caught:
        client.create_notebook(SPEC)
    assert caught.value.faults == {"$.name": "too long"}
