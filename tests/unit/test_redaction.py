# SPDX-License-Identifier: Apache-2.0
"""What is taken out of texts and values, and what stays to be understood."""

from __future__ import annotations

from typing import Any

import pytest

from notebookd.wire.redaction import REMOVED, Redactor

TOKEN = "Zq3hV7uKx0_sLw-9RtYbN1mPcE5dJ8aGfO2iTkQvXyU"
LINES = {
    "GET /?token={} HTTP/1.1": "GET /?token=(removed) HTTP/1.1",
    "next=%2Flab%3Ftoken%3D{}&a=1": "next=%2Flab%3Ftoken%3D(removed)&a=1",
    "Authorization: Bearer {}": "Authorization: (removed)",
    "{{'Authorization': 'token {}', 'Host': 'x'}}": "{{'Authorization': (removed), 'Host': 'x'}}",
    "(b'Cookie', b'session={}')": "(b'Cookie', (removed))",
    "sent bearer {} to it": "sent bearer (removed) to it",
    "https://alice:{}@git.example/r.git": "https://(removed)@git.example/r.git",
    "run --api-key {} --epochs 3": "run --api-key (removed) --epochs 3",
    "AWS_SECRET_ACCESS_KEY={} python": "AWS_SECRET_ACCESS_KEY=(removed) python",
    '{{"password": "{}", "user": "bob"}}': '{{"password": (removed), "user": "bob"}}',
    "token_hash = '{}'": "token_hash = (removed)",
}


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("secret", [TOKEN, "tiger4", "p%40ss!w0rd"])
def test_what_is_named_a_secret_goes_and_the_rest_of_the_line_stays(line: str, secret: str) -> None:
    cleaned = Redactor().text(line.format(secret))
    assert secret not in cleaned
    assert cleaned == LINES[line].format()


@pytest.mark.parametrize(
    "secret",
    [
        TOKEN,
        "nbd_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4v",
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_0123456789abcdefghijABCDEFGHIJ012345",
        "hf_abcdefghijklmnopqrstuvwxyz",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
        "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNz\nAAAA\n-----END OPENSSH PRIVATE KEY-----",
    ],
)
def test_what_looks_like_a_secret_goes_wherever_it_stands(secret: str) -> None:
    assert Redactor().text(f"saw {secret} there") == f"saw {REMOVED} there"


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22T20:00:00Z alice notebook.state 0aaaaaaa-0000-4000-8000-000000000001 RUNNING",
        "podman 4.3.1 answers on /run/notebookd-engine/engine.sock",
        "http://0aaaaaaa-0000-4000-8000-000000000001.localhost:8421/lab",
        "container 67613722171797d74df8c2d81e4f6a937a29f2ad759d778ccb20f89669e97a22 is gone",
        "GPU-11111111-2222-3333-4444-555555555555 Xid 79",
        "alice@example.org asked",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert Redactor().text(text) == text


def test_what_the_caller_knows_goes_also_quoted() -> None:
    redactor = Redactor(["s3 cret/é", "no"])
    assert redactor.text("a s3 cret/é, s3%20cret%2F%C3%A9, no") == f"a {REMOVED}, {REMOVED}, no"


def test_values_are_cleaned_by_their_names() -> None:
    value: dict[str, Any] = {
        "envVars": [{"name": "EPOCHS", "value": "hush"}],
        "sshPublicKeys": ["ssh-ed25519 hush"],
        "password": "hush",
        "nested": [{"apiToken": {"a": "hush"}}, {"name": "HF_TOKEN", "value": "hush"}],
        "command": ["serve", "--token", "hush", "--port=1"],
        "text": "?token=hush",
        "name": "alice",
        "tokens": 3,
    }
    cleaned = Redactor().value(value)
    assert "hush" not in str(cleaned)
    assert (cleaned["name"], cleaned["tokens"]) == ("alice", 3)
    assert cleaned["envVars"] == [{"name": "EPOCHS", "value": REMOVED}]
    assert cleaned["command"] == ["serve", "--token", REMOVED, "--port=1"]
