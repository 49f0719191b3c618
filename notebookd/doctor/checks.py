# SPDX-License-Identifier: Apache-2.0
"""The checks, in the order they are reported: each a function from a patient to findings.

A finding that is not ``ok`` carries the cure: what to type or to write, exactly.
"""

from __future__ import annotations

from collections.abc import Iterator

from notebookd.config.load import CATALOGUE_FOLDER
from notebookd.doctor.containers import check_ca_file, check_hooks, check_init
from notebookd.doctor.data import check_datastores, check_movers
from notebookd.doctor.engine import (
    check_cgroups,
    check_engine,
    check_engine_settings,
    check_images,
    check_runtime_program,
)
from notebookd.doctor.finding import Check, Finding, fail, ok
from notebookd.doctor.gpus import check_gpus
from notebookd.doctor.listeners import check_gateway
from notebookd.doctor.machine import Patient
from notebookd.doctor.mentions import check_mentions
from notebookd.doctor.names import check_names
from notebookd.doctor.proxies import check_proxies
from notebookd.doctor.set_ids import check_seccomp, check_set_ids
from notebookd.doctor.surroundings import (
    check_clock,
    check_confinement,
    check_devices,
    check_groups,
    check_units,
)
from notebookd.doctor.system import (
    account_may_read,
    check_api,
    check_disk,
    check_engine_socket,
    check_folders,
    check_id_mappers,
    check_kernel,
    check_linger,
    check_subordinate_ids,
)


def check_configuration(patient: Patient) -> Iterator[Finding]:
    """Where the configuration came from (it is good, or we were not here), and whether the service may read it, too."""
    source = patient.config.source
    yield ok("configuration", str(source or "built-in defaults, there is no file"))
    for file in () if source is None else (source, *sorted((source.parent / CATALOGUE_FOLDER).glob("*.toml"))):
        if not account_may_read(patient.machine, file):
            said = f"{file}: {patient.machine.account} may not read it, and neither starts nor reloads with it"
            yield fail("configuration", said, f"chmod a+r {file}")


CHECKS: tuple[Check, ...] = (
    check_configuration,
    check_mentions,
    check_units,
    check_engine,
    check_runtime_program,
    check_engine_settings,
    check_init,
    check_hooks,
    check_engine_socket,
    check_seccomp,
    check_subordinate_ids,
    check_id_mappers,
    check_kernel,
    check_confinement,
    check_devices,
    check_cgroups,
    check_linger,
    check_gpus,
    check_groups,
    check_folders,
    check_disk,
    check_clock,
    check_images,
    check_ca_file,
    check_movers,
    check_datastores,
    check_set_ids,
    check_api,
    check_gateway,
    check_names,
    check_proxies,
)
