# SPDX-License-Identifier: Apache-2.0
"""What an app token's value is, and what its selector picks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notebookd.domain.actor import Actor, Role
from notebookd.domain.ids import TokenId
from notebookd.domain.spec import MAX_LABELS, Fault
from notebookd.domain.token import (
    READ,
    SECRET_BYTES,
    LabelSelector,
    Token,
    TokenWish,
    digest_of,
    is_value_of,
    labelled,
    named_by,
    token_value,
)
from notebookd.wire.redaction import Redactor
from tests.values import NOW

ID = TokenId("0aaaaaaa-0000-4000-8000-000000000001")
TEAM = LabelSelector(name="team", value="vision")
VALUE = token_value(ID, bytes(range(SECRET_BYTES)))


def token(value: str = VALUE, selector: LabelSelector | None = None) -> Token:
    return Token(
        id=ID,
        owner="alice",
        name="ci",
        role=READ,
        digest=digest_of(value),
        created_at=NOW,
        updated_at=NOW,
        selector=selector,
    )


@given(st.uuids(), st.binary(min_size=SECRET_BYTES, max_size=SECRET_BYTES))
def test_a_value_names_its_token_and_is_its_alone(token_id: object, secret: bytes) -> None:
    value = token_value(TokenId(str(token_id)), secret)
    assert named_by(value) == str(token_id)
    assert is_value_of(value, token(value))
    assert is_value_of(value, token()) == (value == VALUE)
    assert value not in Redactor().text(f"showed {value} to it")


@given(st.text())
def test_no_other_text_names_a_token(text: str) -> None:
    assert named_by(text) is None
    assert not is_value_of(text, token())


@pytest.mark.parametrize("wrong", ["", "nbd_", VALUE[:-1], VALUE + "A", VALUE.upper(), f" {VALUE}", f"{VALUE}\n"])
def test_nearly_a_value_is_none(wrong: str) -> None:
    assert named_by(wrong) is None


def test_a_token_shows_its_value_nowhere() -> None:
    assert VALUE not in repr(token())


@pytest.mark.parametrize(
    ("labels", "bears"),
    [
        ({}, {"team": "vision"}),
        ({"a": "b"}, {"a": "b", "team": "vision"}),
        ({"team": "vision"}, {"team": "vision"}),
    ],
)
def test_what_a_token_makes_bears_its_label(labels: dict[str, str], bears: dict[str, str]) -> None:
    assert labelled(labels, TEAM) == bears
    assert labelled(labels, None) == labels


def test_labels_that_say_otherwise_or_leave_no_room_are_at_fault() -> None:
    other = labelled({"team": "speech"}, TEAM)
    assert isinstance(other, Fault)
    assert other.path == "$.labels.team"
    full = labelled({f"l{number}": "x" for number in range(MAX_LABELS)}, TEAM)
    assert isinstance(full, Fault)
    assert full.path == "$.labels"


def test_a_wish_without_faults_has_its_selector() -> None:
    wish = TokenWish(name="ci", role=READ, selector="team=a=b")
    assert (wish.faults(), wish.label) == ([], LabelSelector(name="team", value="a=b"))
    assert TokenWish(name="ci", role=READ).label is None


def test_behind_a_token_nobody_is_more_than_the_person() -> None:
    person = Actor(name="alice", role=Role.OPERATOR)
    some = Actor(name="alice", role=Role.OPERATOR, token=token(selector=TEAM))
    assert (person.signature, some.signature) == ("alice", "alice (token ci)")
    for owner, labels, seen, seen_by_token in (
        ("alice", {"team": "vision"}, True, True),
        ("alice", {"team": "speech"}, True, False),
        ("alice", {}, True, False),
        ("bob", {"team": "vision"}, False, False),
    ):
        assert person.may_see(owner, labels) is seen
        assert some.may_see(owner, labels) is seen_by_token
