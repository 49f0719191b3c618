# SPDX-License-Identifier: Apache-2.0
"""The machine's accounts: whose quota and which uid is whose."""

from __future__ import annotations

import grp
import os
import pwd

from notebookd.config import Quota
from notebookd.domain.quota import UNBOUND, QuotaRule, rule_of


def uid_of(owner: str) -> int | None:
    """The uid of an owner's account; None while there is none. An owner without a name is named by their uid."""
    try:
        return pwd.getpwnam(owner).pw_uid
    except KeyError:
        return int(owner) if owner.isascii() and owner.isdecimal() else None


class AccountQuotas:
    """The rule for an owner's name, see :func:`~notebookd.domain.quota.rule_of`. Admins are bound by none."""

    def __init__(self, quota: Quota, admin_group: str) -> None:
        self.quota = quota
        self._admin_group = admin_group

    def __call__(self, owner: str) -> QuotaRule:
        """The rule that binds ``owner``."""
        groups = _groups_of(owner)
        if groups is None or self._admin_group in groups:
            return UNBOUND
        return rule_of(self.quota, owner, groups)


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
