# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from notebookd.adapters.accounts import AccountQuotas
from notebookd.adapters.clock import SystemClock
from notebookd.adapters.directory import SystemDirectory
from notebookd.config import Quota, QuotaOverride, QuotaRule
from notebookd.domain import quota as domain
from notebookd.domain.quota import UNBOUND

DEFAULT = QuotaRule(gpus=4, notebooks=20, gpu_minutes_month=0)


async def rule_for(book: AccountQuotas, owner: str) -> domain.QuotaRule:
    await book.learn([owner])
    return book(owner)


def quotas(*, admin: str = "no-such-group", users: object = None, groups: object = None) -> AccountQuotas:
    return AccountQuotas(
        Quota(default=DEFAULT, users=users or {}, groups=groups or {}), admin, SystemDirectory(SystemClock())
    )  # type: ignore[arg-type]


def rule(gpus: int, notebooks: int) -> domain.QuotaRule:
    return domain.QuotaRule(gpus=gpus, notebooks=notebooks)


@pytest.mark.parametrize("owner", ["daemon", "nobody", "nobody-of-that-name", "4000000"])
async def test_everybody_has_the_rule_for_everybody(owner: str) -> None:
    assert await rule_for(quotas(), owner) == rule(4, 20)


async def test_root_and_admins_are_unbound() -> None:
    assert await rule_for(quotas(), "root") is UNBOUND
    assert await rule_for(quotas(admin="daemon", users={"daemon": QuotaOverride(gpus=1)}), "daemon") is UNBOUND


async def test_a_group_changes_what_it_names_and_a_user_has_the_last_word() -> None:
    groups = {"daemon": QuotaOverride(gpus=1, notebooks=2), "games": QuotaOverride(gpus=9)}
    assert await rule_for(quotas(groups=groups), "daemon") == rule(1, 2)
    assert await rule_for(quotas(groups=groups), "nobody") == rule(4, 20)
    assert await rule_for(quotas(groups=groups, users={"daemon": QuotaOverride(gpus=7)}), "daemon") == rule(7, 2)


async def test_nothing_is_an_amount() -> None:
    assert await rule_for(quotas(users={"daemon": QuotaOverride(gpus=0)}), "daemon") == rule(0, 20)


async def test_no_minutes_in_the_configuration_are_no_bound() -> None:
    group = {"daemon": QuotaOverride(gpu_minutes_month=600)}
    assert (await rule_for(quotas(), "daemon")).gpu_minutes_month is None
    assert (await rule_for(quotas(groups=group), "daemon")).gpu_minutes_month == 600
    assert await rule_for(quotas(groups=group, users={"daemon": QuotaOverride(gpu_minutes_month=0)}), "daemon") == rule(
        4, 20
    )
