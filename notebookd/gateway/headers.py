# SPDX-License-Identifier: Apache-2.0
"""Which headers cross the gateway. Pure; everything not named here passes as it came, doubles included."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from multidict import CIMultiDict, CIMultiDictProxy

from notebookd.gateway.auth import SESSION_COOKIES, without_token

__all__ = ["cookie_values", "is_plain", "of_answer", "of_api_request", "of_request"]

_HOP_BY_HOP: Final = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_NOT_FOR_THE_EDITOR: Final = frozenset({"authorization", "cookie", "expect"})
_NOT_FOR_THE_API: Final = frozenset({"cookie", "expect", "host"})
_FORWARDED: Final = re.compile(r"(x-)?forwarded(-|$)|x-real-ip$|x-original-|x-rewrite-url$")
_OF_THIS_HANDSHAKE: Final = "sec-websocket-"
_ALWAYS_KEPT: Final = frozenset({"host", "content-length", "set-cookie"})
"""``Connection: host`` cannot talk us out of these."""
_TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TEXT: Final = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_DOMAIN_ATTRIBUTE: Final = re.compile(r";\s*domain\s*(=[^;]*)?(?=;|$)", re.IGNORECASE)


def of_request(
    headers: CIMultiDictProxy[str], *, scheme: str = "http", xsrf: str | None = None, websocket: bool = False
) -> CIMultiDict[str]:
    """A request's headers as the editor may see them.

    What says where it came from is ours to say: anybody can write ``X-Forwarded-Host``, and editors that compare it to
    the Origin believe it. With ``xsrf`` the request carries that value as ``_xsrf`` cookie and ``X-XSRFToken`` in place
    of any it had.
    """
    dropped = _HOP_BY_HOP | _NOT_FOR_THE_EDITOR | _named_by_connection(headers)
    if xsrf is not None:
        dropped |= {"x-xsrftoken"}
    kept: CIMultiDict[str] = CIMultiDict()
    for name, value in headers.items():
        lower = name.lower()
        if lower in dropped or _FORWARDED.match(lower) or (websocket and lower.startswith(_OF_THIS_HANDSHAKE)):
            continue
        kept.add(name, _encodable(without_token(value)[0] if lower == "referer" else value))
    kept.add("X-Forwarded-Host", _encodable(headers.get("Host", "")))
    kept.add("X-Forwarded-Proto", scheme)
    ours = SESSION_COOKIES if xsrf is None else SESSION_COOKIES | {"_xsrf"}
    cookies = [pair for pair in _cookie_pairs(headers.getall("Cookie", ())) if _cookie_name(pair) not in ours]
    if xsrf is not None:
        cookies.append(f"_xsrf={xsrf}")
        kept.add("X-XSRFToken", xsrf)
    if cookies:
        kept.add("Cookie", _encodable("; ".join(cookies)))
    return kept


def of_api_request(headers: CIMultiDictProxy[str], *, websocket: bool = False) -> CIMultiDict[str]:
    """A request's headers as the API may see them: with its token, and with nothing that a browser keeps."""
    dropped = _HOP_BY_HOP | _NOT_FOR_THE_API | _named_by_connection(headers)
    kept: CIMultiDict[str] = CIMultiDict()
    for name, value in headers.items():
        lower = name.lower()
        if (
            lower not in dropped
            and not _FORWARDED.match(lower)
            and not (websocket and lower.startswith(_OF_THIS_HANDSHAKE))
        ):
            kept.add(name, _encodable(value))
    return kept


def of_answer(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    """An answer's headers as the browser may see them.

    An editor may set cookies for its own origin only, and never our session: a ``Domain`` would plant them at
    every other notebook.
    """
    dropped = _HOP_BY_HOP | _named_by_connection(headers)
    if "Transfer-Encoding" in headers:
        dropped |= {"content-length"}
    kept: CIMultiDict[str] = CIMultiDict()
    for name, value in headers.items():
        lower = name.lower()
        if lower in dropped or (lower == "set-cookie" and _cookie_name(_named(value)) in SESSION_COOKIES):
            continue
        kept.add(name, _encodable(_DOMAIN_ATTRIBUTE.sub("", value) if lower == "set-cookie" else value))
    return kept


def is_plain(raw: Iterable[tuple[bytes, bytes]], reason: str) -> bool:
    """Whether an answer's fields and its ``reason`` can be read in one way, and be passed on as they are.

    Names are tokens, nothing holds a control character, and a body is ``chunked`` or in no transfer encoding.
    """
    encodings = [value.strip().lower() for name, value in raw if name.lower() == b"transfer-encoding"]
    return (
        encodings in ([], [b"chunked"])
        and _TEXT.fullmatch(reason.encode("utf-8", "surrogateescape")) is not None
        and all(_TOKEN.fullmatch(name) and _TEXT.fullmatch(value) for name, value in raw)
    )


def cookie_values(headers: CIMultiDictProxy[str], name: str) -> tuple[str, ...]:
    """Every value of the cookie ``name``, in the order sent."""
    pairs = _cookie_pairs(headers.getall("Cookie", ()))
    return tuple(pair.partition("=")[2].strip() for pair in pairs if _cookie_name(pair) == name)


def _named_by_connection(headers: CIMultiDictProxy[str]) -> frozenset[str]:
    listed = (name.strip().lower() for value in headers.getall("Connection", ()) for name in value.split(","))
    return frozenset(listed) - _ALWAYS_KEPT


def _cookie_pairs(values: Iterable[str]) -> list[str]:
    return [pair.strip() for value in values for pair in value.split(";") if pair.strip()]


def _named(cookie: str) -> str:
    """The pair that browsers will send back of a Set-Cookie: of one without a name they send the value alone."""
    return cookie.partition(";")[0].lstrip(" \t=")


def _cookie_name(pair: str) -> str:
    return pair.partition("=")[0].strip()


def _encodable(value: str) -> str:
    """``value`` with bytes that were no UTF-8 turned into question marks: aiohttp cannot send them on."""
    return value.encode("utf-8", "replace").decode("utf-8")
