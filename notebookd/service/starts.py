# SPDX-License-Identifier: Apache-2.0
"""Starting: what a notebook's new run is made of."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from notebookd.domain.actor import Actor
from notebookd.domain.advice import OTHER_VOLUMES, WITHDRAWN
from notebookd.domain.attached import attach
from notebookd.domain.catalogue import Catalogue
from notebookd.domain.datastores import DataRules, rights_faults
from notebookd.domain.ids import RunId
from notebookd.domain.notebook import Notebook
from notebookd.domain.resources import amount
from notebookd.domain.run import Following, Origin, Run, first_state, follow
from notebookd.domain.spec import volume_field_faults
from notebookd.domain.volumes import Volume
from notebookd.errors import Conflict, InvalidRequest
from notebookd.machine.inventory import Inventory
from notebookd.service.faults import invalid


class Starts:
    """Makes runs. ``catalogue`` and ``rules`` change when the configuration is read again."""

    def __init__(self, catalogue: Catalogue, inventory: Inventory, rules: DataRules) -> None:
        self.catalogue = catalogue
        self.rules = rules
        self._inventory = inventory

    def require_rights(self, actor: Actor, volumes: Sequence[Volume], what: str) -> None:
        """Raise InvalidRequest unless the actor may have each of the volumes as it is asked for."""
        faults = list(volume_field_faults(rights_faults(volumes, self.rules.stores, actor)))
        if faults:
            raise invalid(what, faults)

    def require_place(self, actor: Actor, notebook: Notebook, *, unpushed: bool) -> None:
        """Raise Conflict when a stopped notebook's volumes are no longer to be had by ``actor``, who starts it."""
        what = f"start notebook {notebook.id}"
        try:
            self.require_rights(actor, notebook.spec.volumes, what)
        except InvalidRequest as fault:
            raise Conflict(fault.message, hint=(WITHDRAWN if unpushed else OTHER_VOLUMES).text) from fault

    def first_run(self, notebook: Notebook, now: datetime, origin: Origin | None = None) -> Run:
        """The first run of a notebook, whose workspace is filled from ``origin``. Raises Conflict."""
        return self._make(notebook, now, 1, None, origin)

    def next_run(self, notebook: Notebook, earlier: Run, now: datetime, *, discard: bool) -> Run:
        """The run that follows ``earlier``. With ``discard`` copies are given up that were not pushed, or that no pull
        brings up to date. Raises Conflict."""
        if discard:
            given_up = [
                replace(each, dirty=False, stuck=False, given_up=True) if each.dirty or each.stuck else each
                for each in earlier.volumes
            ]
            earlier = replace(earlier, volumes=tuple(given_up))
        return follow(earlier, self._make(notebook, now, earlier.number + 1, earlier, earlier.origin), now)

    def following(self, notebook: Notebook, earlier: Run, now: datetime, actor: str) -> Following:
        """What the run after ``earlier``, which still ends, will be made of. Raises Conflict."""
        run = self._make(notebook, now, earlier.number + 1, earlier, earlier.origin)
        return Following(
            actor=actor,
            resources=run.resources,
            image=run.image,
            command=run.command,
            uid=run.uid,
            probe=run.probe,
            activity=run.activity,
        )

    def _make(self, notebook: Notebook, now: datetime, number: int, earlier: Run | None, origin: Origin | None) -> Run:
        spec = notebook.spec
        flavor = next((each for each in self._inventory.flavors() if each.id == spec.resources.flavor), None)
        if flavor is None:
            raise Conflict(
                f"cannot start notebook {notebook.id}: there is no flavor {spec.resources.flavor} now",
                hint="change its resources with `notebookctl patch`",
            )
        image = self.catalogue.find(spec.editor, spec.framework, spec.framework_version)
        if image is None:
            raise Conflict(
                f"cannot start notebook {notebook.id}: {spec.editor} with {spec.framework} {spec.framework_version} "
                "is no longer in the catalogue",
                hint="its workspace is kept: `notebookctl cp` reads it; what there is: `notebookctl capabilities`",
            )
        known = earlier.volumes if earlier is not None else ()
        volumes = attach(notebook.id, spec.volumes, known, self.rules.directories)
        return Run(
            id=RunId(str(uuid.uuid4())),
            notebook_id=notebook.id,
            number=number,
            resources=amount(spec.resources, flavor),
            image=image.image,
            command=image.command,
            uid=image.uid,
            probe=image.probe,
            activity=image.activity,
            history=((now, first_state(volumes, origin)),),
            volumes=volumes,
            origin=origin,
        )
