# SPDX-License-Identifier: Apache-2.0
"""Starting: what a notebook's new run is made of."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import datetime

from notebookd.config import CatalogueEntry
from notebookd.domain.admission import MadeOf
from notebookd.domain.attached import attach
from notebookd.domain.ids import RunId
from notebookd.domain.notebook import Notebook, NotebookSpec
from notebookd.domain.resources import Flavor, amount
from notebookd.domain.rules import RulesNow
from notebookd.domain.run import Following, Origin, Run, first_state, follow
from notebookd.machine.inventory import Inventory


class Starts:
    """Makes runs."""

    def __init__(self, inventory: Inventory, rules: RulesNow) -> None:
        self._rules = rules
        self._inventory = inventory

    def find(self, spec: NotebookSpec) -> tuple[Flavor | None, CatalogueEntry | None]:
        """Flavor and image of that specification; None where they are no more."""
        flavor = next((each for each in self._inventory.flavors() if each.id == spec.resources.flavor), None)
        return flavor, self._rules().catalogue.find(spec.editor, spec.framework, spec.framework_version)

    def first_run(self, notebook: Notebook, made_of: MadeOf, now: datetime, origin: Origin | None = None) -> Run:
        """The first run of a notebook, whose workspace is filled from ``origin``."""
        return self._make(notebook, made_of, now, 1, None, origin)

    def next_run(self, notebook: Notebook, made_of: MadeOf, earlier: Run, now: datetime, *, discard: bool) -> Run:
        """The run that follows ``earlier``. With ``discard`` copies are given up that were not pushed, or that no pull
        brings up to date."""
        if discard:
            given_up = [
                replace(each, dirty=False, stuck=False, given_up=True) if each.dirty or each.stuck else each
                for each in earlier.volumes
            ]
            earlier = replace(earlier, volumes=tuple(given_up))
        return follow(earlier, self._make(notebook, made_of, now, earlier.number + 1, earlier, earlier.origin), now)

    def following(self, notebook: Notebook, made_of: MadeOf, earlier: Run, now: datetime, actor: str) -> Following:
        """What the run after ``earlier``, which still ends, will be made of."""
        run = self._make(notebook, made_of, now, earlier.number + 1, earlier, earlier.origin)
        return Following(
            actor=actor,
            resources=run.resources,
            image=run.image,
            command=run.command,
            uid=run.uid,
            probe=run.probe,
            activity=run.activity,
        )

    def _make(
        self,
        notebook: Notebook,
        made_of: MadeOf,
        now: datetime,
        number: int,
        earlier: Run | None,
        origin: Origin | None,
    ) -> Run:
        spec = notebook.spec
        image = made_of.image
        known = earlier.volumes if earlier is not None else ()
        volumes = attach(notebook.id, spec.volumes, known, self._rules().data.directories)
        return Run(
            id=RunId(str(uuid.uuid4())),
            notebook_id=notebook.id,
            number=number,
            resources=amount(spec.resources, made_of.flavor),
            image=image.image,
            command=image.command,
            uid=image.uid,
            probe=image.probe,
            activity=image.activity,
            history=((now, first_state(volumes, origin)),),
            volumes=volumes,
            origin=origin,
        )
