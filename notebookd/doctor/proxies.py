# SPDX-License-Identifier: Apache-2.0
"""Whether the gateway lets in what comes through a reverse proxy on this machine."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from notebookd.doctor.finding import Finding, ok, warn
from notebookd.doctor.machine import Patient


def check_proxies(patient: Patient) -> Iterator[Finding]:
    """The accounts of trusted proxies exist, and one is named where TLS is in front of a gateway on the loopback."""
    gateway, has = patient.config.gateway, patient.machine.has_account
    missing = [account for account in gateway.trusted_proxies if not (account.isdecimal() or has(account))]
    if missing:
        yield warn(
            "proxies",
            f"gateway.trusted_proxies: there is no account {', '.join(missing)}",
            "name the account that the proxy's processes run as: `ps -eo user,comm` shows it",
        )
    elif gateway.trusted_proxies:
        yield ok("proxies", f"connections of {', '.join(gateway.trusted_proxies)} carry other people")
    elif gateway.url.startswith("https:") and ipaddress.ip_address(gateway.listen_host).is_loopback:
        yield warn(
            "proxies",
            "[gateway] url is https, and no proxy's account is named: through a proxy here notebooks open for nobody",
            'trusted_proxies = ["www-data"] in [gateway], for nginx; then systemctl restart notebookd-gateway',
        )
