# SPDX-License-Identifier: Apache-2.0
"""The machine's accounts: whose quota is whose."""

from __future__ import annotations

import grp
import os
import pwd

from notebookd.config import Quota
from notebookd.domain.quota import UNBOUND, QuotaRule


class AccountQuotas:
    """The rule for an owner's name: everybody's, changed by the owner's groups, then by the owner. None for admins."""

    def __init__(self, quota: Quota, admin_group: str) -> None:
        self.quota = quota
        self._admin_group = admin_group

    def __call__(self, owner: str) -> QuotaRule:
        """The rule that binds ``owner``."""
        groups = _groups_of(owner)
        if groups is None or self._admin_group in groups:
            return UNBOUND
        rule = self.quota.default
        gpus, notebooks, minutes = rule.gpus, rule.notebooks, rule.gpu_minutes_month
        overrides = [self.quota.groups[name] for name in sorted(groups) if name in self.quota.groups]
        for override in (*overrides, self.quota.users.get(owner)):
            if override is not None:
                gpus = gpus if override.gpus is None else override.gpus
                notebooks = notebooks if override.notebooks is None else override.notebooks
                minutes = minutes if override.gpu_minutes_month is None else override.gpu_minutes_month
        return QuotaRule(gpus=gpus, notebooks=notebooks, gpu_minutes_month=minutes or None)


def _groups_of(owner: str) -> frozenset[str] | None:
    """Names of an account's groups; None for root. An unknown account is in none."""
    try:
        account = pwd.getpwnam(owner)
    except KeyError:
        return frozenset()
    if account.pw_uid == 0:
        return None
    names: set[str] = set()
    for gid in os.getgrouplist(owner, account.pw_gid):
        try:
            names.add(grp.getgrgid(gid).gr_name)
        except KeyError:
            continue
    return frozenset(names)
