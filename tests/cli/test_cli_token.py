# SPDX-License-Identifier: Apache-2.0
"""notebookctl token: what it asks for, what it prints, and how tokens are named."""

from __future__ import annotations

import json

import pytest

from notebookd import wire
from tests.cli.worlds import HOSTILE, me

ONE = "5eaaaaaa-0000-4000-8000-000000000001"
TWO = "5ebbbbbb-0000-4000-8000-000000000002"
VALUE = "nbd_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4v"


def token(identity=ONE, name="ci", role="ai_training_operator", *, label=wire.UNSET, user="alice", value=wire.UNSET):
    return wire.Token(
        id=identity,
        created_at="2026-11-22T17:00:00.000Z",
        updated_at="2026-11-22T17:00:00.000Z",
        spec=wire.TokenSpec(name=name, role=role, label_selector=label),
        status=wire.TokenStatus(version=1, value=value),
        user=user,
    )


def listed(*tokens, number=1, pages=1):
    about = wire.Metadata(current_page=number, page_count=pages, total=len(tokens), links=wire.Links())
    return wire.encode(wire.TokenList(items=list(tokens), metadata=about))


TOKENS = listed(token(), token(TWO, "notebooks-ro", "ai_training_read", label="team=vision"))
SHOWN = wire.encode(token(value=VALUE))


@pytest.fixture
def desk(toy):
    toy.on("GET /v1/me", me())
    toy.on("GET /v1/token", TOKENS)
    toy.on("POST /v1/token", SHOWN)
    for identity in (ONE, TWO):
        toy.on(f"POST /v1/token/{identity}/renew", SHOWN)
        toy.on(f"DELETE /v1/token/{identity}", status=204)
    return toy


@pytest.mark.parametrize("args", [("token",), ("token", "list")])
def test_the_list_is_golden(notebookctl, desk, golden, args):
    result = notebookctl(*args)
    assert (result.exit_code, result.stderr) == (0, "")
    golden("token.txt", result.stdout)
    golden("token.csv", notebookctl(*args, "-o", "csv").stdout)
    assert notebookctl(*args, "-o", "json").stdout_bytes == TOKENS + b"\n"


def test_a_list_of_many_pages_is_one_table(notebookctl, toy):
    toy.then("GET /v1/token", listed(token(), pages=2))
    toy.then("GET /v1/token", listed(token(TWO, "second"), number=2, pages=2))
    assert [line.split()[1] for line in notebookctl("token").stdout.splitlines()] == ["NAME", "ci", "second"]


def test_a_new_token_prints_its_value_alone(notebookctl, desk):
    result = notebookctl("token", "create", "ci")
    assert (result.exit_code, result.stdout) == (0, f"{VALUE}\n")
    assert result.stderr == "token ci: keep its value, it is not shown again\n"
    assert notebookctl("token", "create", "ci", "-o", "json").stdout_bytes == SHOWN + b"\n"
    assert notebookctl("token", "create", "ci", "-o", "csv").stdout == f"ID,NAME,VERSION,VALUE\n{ONE},ci,1,{VALUE}\n"


@pytest.mark.parametrize(
    ("args", "wish"),
    [
        ((), {"name": "ci", "role": "ai_training_read"}),
        (("--role", "read"), {"name": "ci", "role": "ai_training_read"}),
        (("--role", "operator"), {"name": "ci", "role": "ai_training_operator"}),
        (
            ("--label-selector", "team=vision"),
            {"name": "ci", "role": "ai_training_read", "labelSelector": "team=vision"},
        ),
    ],
)
def test_what_a_new_token_is_asked_to_be(notebookctl, desk, args, wish):
    notebookctl("token", "create", "ci", *args)
    assert desk.asked[0].json == wish


@pytest.mark.parametrize(
    ("word", "meant"), [(ONE, ONE), (ONE.upper(), ONE), ("ci", ONE), ("notebooks-ro", TWO), ("5eb", TWO)]
)
def test_a_token_is_named_by_id_start_or_name(notebookctl, desk, word, meant):
    assert notebookctl("token", "delete", word).exit_code == 0
    assert len(desk.sent(f"DELETE /v1/token/{meant}")) == 1
    assert notebookctl("token", "renew", word).stdout == f"{VALUE}\n"
    assert len(desk.sent(f"POST /v1/token/{meant}/renew")) == 1


def test_an_admins_own_name_goes_before_anothers(notebookctl, desk):
    desk.on("GET /v1/token", listed(token(ONE, "ci", user="bob"), token(TWO, "ci", user="alice")))
    assert notebookctl("token", "delete", "ci").exit_code == 0
    assert len(desk.sent(f"DELETE /v1/token/{TWO}")) == 1


def test_an_ambiguous_word_names_what_it_means(notebookctl, desk):
    result = notebookctl("token", "delete", "5e")
    assert result.exit_code == 2
    assert ONE in result.stderr
    assert TWO in result.stderr


def test_an_unknown_word_is_not_found(notebookctl, desk):
    result = notebookctl("token", "renew", "nothing")
    assert result.exit_code == 1
    assert "hint: notebookctl token list" in result.stderr


@pytest.mark.parametrize(
    "args",
    [
        ("list", "ci"),
        ("create",),
        ("renew",),
        ("delete",),
        ("delete", "ci", "--role", "read"),
        ("renew", "ci", "--label-selector", "a=b"),
        ("create", "ci", "--role", "administrator"),
        ("burn", "ci"),
    ],
)
def test_what_does_not_go_together_is_a_usage_error(notebookctl, desk, args):
    assert notebookctl("token", *args).exit_code == 2
    assert desk.asked == []


def test_what_others_named_steers_no_terminal(notebookctl, desk):
    bad = token(name=HOSTILE, role=HOSTILE, label=HOSTILE, user=HOSTILE)
    desk.on("GET /v1/token", listed(bad))
    out = notebookctl("token").stdout
    assert not set(out) & set("\x1b\x07\x9b\u202e\r")
    assert len(out.splitlines()) == 2


def test_names_and_ids_are_completed(notebookctl, desk):
    words = {"COMP_WORDS": "notebookctl token delete no", "COMP_CWORD": "3"}
    result = notebookctl(env={"_NOTEBOOKCTL_COMPLETE": "bash_complete", **words})
    assert result.stdout == "plain,notebooks-ro\n"
    words = {"COMP_WORDS": "notebookctl token create n", "COMP_CWORD": "3"}
    assert notebookctl(env={"_NOTEBOOKCTL_COMPLETE": "bash_complete", **words}).stdout == "\n"


def test_a_refusal_names_each_fault(notebookctl, desk):
    faults = [{"path": "$.name", "message": "no"}]
    desk.on(
        "POST /v1/token",
        {"message": "cannot create the token: no", "code": "invalid-request", "details": {"faults": faults}},
        400,
    )
    result = notebookctl("token", "create", "a b")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "  name: no" in result.stderr
    assert json.loads(desk.asked[0].body)["name"] == "a b"
