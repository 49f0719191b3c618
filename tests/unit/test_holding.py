# SPDX-License-Identifier: Apache-2.0
"""What an owner at the own quota is told to stop."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from notebookd.domain.holding import Holder, OwnHold, hold_sentences, to_stop

END = datetime(2026, 12, 8, 5, 40, tzinfo=UTC)


def hold(*gpus: int, bound: int | None, ending: str = "") -> OwnHold:
    """Notebooks a, b, c ... that hold so many GPUs each."""
    names = "abcdef"[: len(gpus)]
    holders = [
        Holder(name=name, gpus=count, back_at=END, ending=name in ending)
        for name, count in zip(names, gpus, strict=True)
    ]
    return OwnHold(holders=holders, bound=bound)


@pytest.mark.parametrize(
    ("held", "wanted", "names"),
    [
        (hold(1, 1, bound=2), 1, "a"),
        (hold(4, 2, 1, bound=7), 2, "b"),
        (hold(1, 1, 1, bound=3), 2, "bc"),
        (hold(1, 1, bound=2, ending="a"), 1, ""),
        (hold(2, 1, bound=3, ending="b"), 2, "a"),
        (hold(1, bound=4), 1, ""),
        (hold(1, bound=1), 2, ""),
        (hold(1, bound=None), 9, ""),
    ],
)
def test_the_fewest_that_are_enough_are_named(held: OwnHold, wanted: int, names: str) -> None:
    assert sorted(each.name for each in to_stop(held, wanted)) == sorted(names)


def test_each_holder_is_named_with_what_it_holds_and_its_end() -> None:
    held = OwnHold(
        holders=[
            Holder(name="mine", gpus=1, back_at=END),
            Holder(name="big", gpus=2, back_at=None),
            Holder(name="old", gpus=1, back_at=END, ending=True),
        ],
        bound=4,
    )
    assert hold_sentences(held, 2) == [
        (
            "Its owner may hold 4 GPUs at once, held by mine (1 GPU, until 2026-12-08 05:40 UTC at the latest), "
            "big (2 GPUs, without an end), old (1 GPU, is stopping)."
        ),
        "To start it sooner, stop what is not needed: `notebookctl stop mine` is enough.",
    ]


def test_who_holds_nothing_is_told_nothing() -> None:
    assert hold_sentences(OwnHold(holders=[], bound=0), 1) == []
