# SPDX-License-Identifier: Apache-2.0
"""Environment variables of notebooks: which a person may not set and why, and what this machine sets for everybody."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

GPUS = "the GPUs of a notebook are those that it leased: ask for them with --gpu"
LINKER = "programs of the host that prepare a container read it, too: set it in a terminal or a cell"
PLATFORM = "notebookd sets it for every notebook"

RESERVED = (
    ("NVIDIA_*", GPUS),
    ("AMD_VISIBLE_DEVICES", GPUS),
    ("HABANA_VISIBLE_DEVICES", GPUS),
    ("LD_*", LINKER),
    ("HOME", PLATFORM),
    ("NOTEBOOK_ID", PLATFORM),
    ("NOTEBOOK_NAME", PLATFORM),
    ("NOTEBOOKD_*", PLATFORM),
    ("PATH", "the editor is found by it: add folders in ~/.profile, or name them in a terminal or a cell"),
    ("PYTHONHOME", "the editor's Python does not start with another home: set it in a terminal or a cell"),
)
"""What a person must not set, and the reason. A ``*`` at the end stands for any rest of a name."""

NO_GPUS = {"NVIDIA_VISIBLE_DEVICES": "void"}
"""Set for every container, over what its image says: NVIDIA's hook for OCI runtimes, where it is installed, gives every
GPU to a container that asks by this variable. GPUs come by CDI alone, which does not look at it."""

CA_BUNDLE = "/run/notebookd/ca-bundle.crt"
"""What a container trusts, where the configuration adds a CA: the usual authorities and that one."""
CA_VARIABLES = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "PIP_CERT",
    "AWS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
)
"""By which OpenSSL, Python's requests, curl, git, pip, Amazon's tools and Node.js learn what to trust."""

_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy")
_NO_PROXY = "no_proxy"
_NEVER_BY_PROXY = "localhost,127.0.0.1,::1"
_IN_TWO_CASES = (*_PROXIES, _NO_PROXY)


def refusal(name: str) -> str | None:
    """Why a person may not set this variable, None where they may."""
    return next((reason for pattern, reason in RESERVED if _matches(name, pattern)), None)


def _matches(name: str, pattern: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def for_containers(configured: Mapping[str, str], *, ca: bool) -> dict[str, str]:
    """What every notebook, mover and build has in its environment by the configuration.

    Proxies stand in lower and in upper case, as programs read one or the other. With a proxy, this machine itself is
    never asked for by it. With ``ca``, programs trust the CA of the configuration.
    """
    made = dict.fromkeys(CA_VARIABLES, CA_BUNDLE) if ca else {}
    for name, value in configured.items():
        made |= dict.fromkeys(_spellings(name), value)
    if has_proxy(made) and _NO_PROXY not in made:
        made |= dict.fromkeys(_spellings(_NO_PROXY), _NEVER_BY_PROXY)
    return made


def has_proxy(made: Mapping[str, str]) -> bool:
    """Whether a proxy is among these."""
    return any(name in made for name in _PROXIES)


def of_notebook(
    house: Mapping[str, str], theirs: Iterable[tuple[str, str]], platform: Mapping[str, str]
) -> dict[str, str]:
    """A notebook's environment: ``house`` is what all have, over it what its owner says, over all the platform's.

    A proxy that its owner sets in one case replaces both. What they may not set does not count, as in a specification
    that is older than the rule.
    """
    own = dict(_allowed(theirs))
    replaced = {spelling for name in own for spelling in _spellings(name)}
    return {name: value for name, value in house.items() if name not in replaced} | own | {**platform, **NO_GPUS}


def _allowed(pairs: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    return ((name, value) for name, value in pairs if refusal(name) is None)


def _spellings(name: str) -> tuple[str, ...]:
    lower = name.lower()
    return (lower, lower.upper()) if lower in _IN_TWO_CASES else (name,)
