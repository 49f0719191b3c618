# SPDX-License-Identifier: Apache-2.0
"""Taking secrets out of what people show to others: texts, and values as JSON has them.

What is removed is known by the name beside it (``token=``, ``Authorization:``), by its look (a key of a known make, an
address with a password), or because the caller knows it and says so. Better a word too many than a token in a mail.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

__all__ = ["REMOVED", "Redactor"]

REMOVED = "(removed)"
SHORTEST_KNOWN = 4

_NAME = (
    r"[\w.-]*(?:token|secret|passw(?:or)?d|passphrase|api[_-]?key|access[_-]?key|account[_-]?key|private[_-]?key|_key\b"
    r"|credential|xsrf|signature)[\w.-]*"
)
_SECRET_NAME = re.compile(_NAME, re.IGNORECASE)
_HEADERS = r"(?:proxy-)?authorization|(?:set-)?cookie|x-[\w-]*(?:token|key)"
_QUOTED = r"\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'"

# Whatever is named "keep" stays.
_SHAPES = (
    re.compile(r"-----BEGIN[^\n]*PRIVATE KEY-----[\s\S]*?(?:-----END[^\n]*PRIVATE KEY-----|\Z)"),
    # A header, as HTTP, a dict or a tuple shows it: all that follows belongs to it.
    re.compile(rf"(?P<keep>(?:{_HEADERS})\\?[\"']?\s*[:=,]\s*)(?:b?(?:{_QUOTED})|[^\n\"']+)", re.IGNORECASE),
    re.compile(r"(?P<keep>\b(?:bearer|basic)\s+)[^\s\"',;)]{4,}", re.IGNORECASE),
    re.compile(r"(?P<keep>\btoken\s+)[\w.~+/=-]{16,}", re.IGNORECASE),
    # name=value, "name": value, name%3Dvalue
    re.compile(rf"(?P<keep>{_NAME}\\?[\"']?(?:\s*[=:]\s*|%3D))(?:\\?b?(?:{_QUOTED})|[^\s&\"',;)}}\]]+)", re.IGNORECASE),
    re.compile(rf"(?P<keep>(?<![\w-])--?{_NAME}\s+)(?:{_QUOTED}|[^\s\"']+)", re.IGNORECASE),
    re.compile(r"(?P<keep>\b[a-z][a-z0-9+.-]{1,15}://)[^/\s@\"'<>]+(?=@)", re.IGNORECASE),
    # App tokens; keys of known makes, tokens of notebooks, JSON web tokens.
    re.compile(r"\bnbd_[\w-]{16,}"),
    re.compile(
        r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_\w{20,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{16,}|\bhf_\w{20,}"
        r"|\bsk-[\w-]{16,}|\bxox[abeprs]-[\w-]{10,}|\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*|(?<![\w-])[\w-]{43}(?![\w-])"
    ),
)


class Redactor:
    """Removes secrets. ``known`` are such as are known by themselves, wherever they stand; very short ones are not
    looked for, since they would take ordinary words with them."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        forms = {form for each in known if len(each) >= SHORTEST_KNOWN for form in (each, quote(each, safe=""))}
        longest_first = sorted(forms, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest_first))) if forms else None

    def text(self, text: str) -> str:
        """The text without secrets."""
        if self._known is not None:
            text = self._known.sub(REMOVED, text)
        for shape in _SHAPES:
            text = shape.sub(lambda found: found.groupdict().get("keep", "") + REMOVED, text)
        return text

    def value(self, value: Any) -> Any:
        """The same of what JSON holds. Environment variables lose all their values, and keys of SSH go as well."""
        match value:
            case str():
                return self.text(value)
            case dict():
                named = value.get("name", value.get("key"))
                hidden = isinstance(named, str) and _SECRET_NAME.fullmatch(named) is not None
                return {
                    self.text(key): REMOVED if hidden and key == "value" else self._member(key, each)
                    for key, each in value.items()
                }
            case list() | tuple():
                return list(self._words(value))
            case _:
                return value

    def _member(self, key: str, value: Any) -> Any:
        if key in {"envVars", "env_vars"} and isinstance(value, list):
            return [{**each, "value": REMOVED} if isinstance(each, dict) else REMOVED for each in value]
        if key in {"sshPublicKeys", "ssh_public_keys"} and isinstance(value, list):
            return [REMOVED] * len(value)
        if _SECRET_NAME.fullmatch(key) and not isinstance(value, bool | int | float):
            return REMOVED
        return self.value(value)

    def _words(self, values: Iterable[Any]) -> Iterable[Any]:
        """A list, perhaps the words of a command: what follows ``--token`` goes."""
        after_name = False
        for each in values:
            yield REMOVED if after_name and isinstance(each, str) else self.value(each)
            after_name = isinstance(each, str) and each.startswith("-") and bool(_SECRET_NAME.fullmatch(each))
