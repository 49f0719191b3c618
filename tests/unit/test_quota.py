# SPDX-License-Identifier: Apache-2.0
"""Whose bound holds."""

from __future__ import annotations

import pytest

from notebookd.config import Quota, QuotaOverride
from notebookd.config import QuotaRule as Everybody
from notebookd.domain.quota import QuotaRule, rule_of

QUOTA = Quota(
    default=Everybody(gpus=4, notebooks=20, gpu_minutes_month=1000),
    users={"alice": QuotaOverride(gpus=0), "bob": QuotaOverride(gpu_minutes_month=0)},
    groups={
        "students": QuotaOverride(gpus=1, notebooks=5, gpu_minutes_month=600),
        "lab": QuotaOverride(gpus=2),
        "staff": QuotaOverride(gpu_minutes_month=0),
    },
)


@pytest.mark.parametrize(
    ("owner", "groups", "bounds"),
    [
        ("carol", (), (4, 20, 1000)),
        ("carol", ("unheard-of",), (4, 20, 1000)),
        ("carol", ("students",), (1, 5, 600)),
        ("carol", ("students", "lab"), (2, 5, 600)),
        ("carol", ("lab", "students"), (2, 5, 600)),
        ("carol", ("students", "staff"), (1, 5, None)),
        ("alice", ("students", "lab"), (0, 5, 600)),
        ("bob", ("students",), (1, 5, None)),
    ],
)
def test_a_user_goes_before_groups_of_which_the_most_generous_counts_and_those_before_everybody(
    owner: str, groups: tuple[str, ...], bounds: tuple[int | None, ...]
) -> None:
    gpus, notebooks, minutes = bounds
    assert rule_of(QUOTA, owner, groups) == QuotaRule(gpus=gpus, notebooks=notebooks, gpu_minutes_month=minutes)


def test_no_minutes_for_everybody_are_no_bound() -> None:
    everybody = Quota(default=Everybody(gpus=4, notebooks=20, gpu_minutes_month=0), users={}, groups={})
    assert rule_of(everybody, "carol", ()).gpu_minutes_month is None
