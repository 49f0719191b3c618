# SPDX-License-Identifier: Apache-2.0
"""Whether programs on this machine find a notebook's host name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from notebookd.doctor.finding import Finding, ok, warn, why
from notebookd.doctor.machine import Patient

_ANY_NOTEBOOK: Final = "00000000-0000-4000-8000-000000000000"


def check_names(patient: Patient) -> Iterator[Finding]:
    """A notebook's name has an address. Browsers and curl know every ``.localhost`` name; others ask the system."""
    domain = patient.config.gateway.domain
    name = f"{_ANY_NOTEBOOK}.{domain}"
    try:
        addresses = patient.machine.addresses_of(name)
    except OSError as error:
        addresses, cause = [], why(error)
    if addresses:
        yield ok("names", f"*.{domain} is {' and '.join(addresses)}")
    elif domain == "localhost" or domain.endswith(".localhost"):
        yield warn(
            "names",
            f"programs on this machine (Python, wget, Node) do not find *.{domain}: {cause}; browsers and curl do",
            "sudo apt-get install libnss-myhostname",
        )
    else:
        yield warn("names", f"*.{domain} has no address: {cause}", f"a DNS record for *.{domain}, or [gateway] domain")
