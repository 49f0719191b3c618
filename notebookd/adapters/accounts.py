# SPDX-License-Identifier: Apache-2.0
"""Whose quota is whose, by the machine's accounts."""

from __future__ import annotations

from collections.abc import Collection

from notebookd.adapters.directory import ROOT, SystemDirectory
from notebookd.config import Quota
from notebookd.domain.quota import UNBOUND, QuotaRule, rule_of


class AccountQuotas:
    """The rule for an owner's name, see :func:`~notebookd.domain.quota.rule_of`. Admins are bound by none."""

    def __init__(self, quota: Quota, admin_group: str, directory: SystemDirectory) -> None:
        self.quota = quota
        self._admin_group = admin_group
        self.directory = directory

    async def learn(self, owners: Collection[str]) -> None:
        """Look these owners up, before their rules are asked for."""
        await self.directory.learn(owners)

    def __call__(self, owner: str) -> QuotaRule:
        """The rule that binds ``owner``, by the groups that were known last. Raises DirectoryUnavailable where they
        never were."""
        if owner == ROOT:
            return UNBOUND
        person = self.directory.person_now(owner)
        if person is None:
            return rule_of(self.quota, owner, ())
        if person.uid == 0 or self._admin_group in person.groups:
            return UNBOUND
        return rule_of(self.quota, owner, person.groups)
