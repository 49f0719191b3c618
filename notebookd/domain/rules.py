# SPDX-License-Identifier: Apache-2.0
"""The rules: all that a reload of the configuration may change of what is decided, as one frozen value.

Whoever decides is handed :data:`RulesNow` and asks it when it decides, so no decision goes by rules that hold no more.
A reload swaps the value; nobody is told, and nothing else is changed from outside. What follows from other rules (a
deadline that moved, a GPU that may be leased now) is found by looking at everything once more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from notebookd.config import Datastore
from notebookd.domain.billing import Tariff
from notebookd.domain.catalogue import Catalogue
from notebookd.domain.datastores import DataRules
from notebookd.domain.gpu import ForeignRule, LeftoverRule
from notebookd.domain.plan import LifecyclePolicy
from notebookd.domain.resources import FlavorShare
from notebookd.domain.xids import XidRules


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """``idle_stop_s`` and ``workspace_bytes`` None are no bound; ``env`` is what every container gets, ``look_every_s``
    how often GPUs are looked at while somebody uses them, ``cache_keep_s`` how long a shared copy that nobody uses is
    kept."""

    lifecycle: LifecyclePolicy = field(default_factory=LifecyclePolicy)
    idle_stop_s: float | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    keep_events_s: float = 365 * 86400.0
    tariff: Tariff = field(default_factory=Tariff)
    workspace_bytes: int | None = None
    measure_every_s: float = 600.0
    min_free_bytes: int = 0
    min_free_inodes: int = 0
    transfers_at_once: int = 4
    cache_keep_s: float = 72 * 3600.0
    look_every_s: float = 5.0
    foreign: ForeignRule = field(default_factory=ForeignRule)
    leftover: LeftoverRule = field(default_factory=LeftoverRule)
    xids: XidRules = field(default_factory=XidRules)
    shares: tuple[FlavorShare, ...] = ()
    catalogue: Catalogue = field(default_factory=lambda: Catalogue(editors=(), frameworks=(), entries=()))
    datastores: tuple[Datastore, ...] = ()
    git_schemes: tuple[str, ...] = ("https",)

    @property
    def data(self) -> DataRules:
        """What volumes may be."""
        return DataRules(stores={store.alias: store for store in self.datastores}, git_schemes=self.git_schemes)


RulesNow = Callable[[], Rules]
"""The rules that hold now."""
