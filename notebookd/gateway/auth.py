# SPDX-License-Identifier: Apache-2.0
"""Who may pass: pure decisions over what a request says.

Every notebook is a browser origin of its own, ``http://<id>.<domain>[:port]``, and behind it runs code that its
owner (or a page that the owner opened) wrote. Three separate questions are asked, and none answers another:

* *Which notebook?* The Host, strictly ``<uuid>.<domain>``. Anything else is not ours; a browser that was tricked into
  sending some other name here (DNS rebinding) is turned away before anything is looked up.
* *Who?* The notebook's token as ``Authorization: Bearer`` (or Jupyter's ``token``), as ``?token=``, or a session
  cookie that it was exchanged for. The cookie holds an HMAC under the notebook's session key, so the gateway keeps no
  session store, and a restart of the gateway or of the notebook logs nobody out; another key ends all sessions, and
  each start ends the token. Neither is worth anything to another
  account of this machine: a session is good for the account that began it, the token for the owner's (and root's, who
  can be anybody). Trusted proxies and other machines have no account here: what they show is good from there.
* *From where?* A cookie goes along whoever wrote the page, so a websocket, or a method that changes something, must
  also come from a page of this very notebook; and what a page of another site loads into itself (an image, a script,
  a frame) is refused, while a link that leads here is not. With ``unsecureHttp`` there is no cookie to abuse, but any
  page in the user's browser can reach the address, so this question is asked then too. Who shows the token itself
  needs no Origin: a foreign page does not know it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import unquote_plus

from notebookd.gateway.peer import ROOT, UNKNOWN, Account, Peer
from notebookd.routes import Route

__all__ = [
    "SECURE_SESSION_COOKIE",
    "SESSION_COOKIE",
    "SESSION_COOKIES",
    "SESSION_LIFETIME_S",
    "Allow",
    "Decision",
    "Facts",
    "Redirect",
    "Refuse",
    "Why",
    "decide",
    "mint_session",
    "notebook_of_host",
    "without_token",
]

SESSION_COOKIE: Final = "notebookd-session"
SECURE_SESSION_COOKIE: Final = "__Host-notebookd-session"
"""Behind TLS: browsers take it from an encrypted answer of this very host alone, and send it encrypted alone."""
SESSION_COOKIES: Final = frozenset({SESSION_COOKIE, SECURE_SESSION_COOKIE})
SESSION_LIFETIME_S: Final = 30 * 24 * 3600
"""So long somebody who does not come back stays signed in. The owner ends sessions by `notebookctl url --renew`."""

_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_NAVIGATION_METHODS: Final = frozenset({"GET", "HEAD"})
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_SESSION: Final = re.compile(r"(?P<expiry>[0-9]{1,12})\.(?P<nonce>[0-9a-f]{1,64})\.(?P<mac>[0-9a-f]{64})")
_HOST: Final = re.compile(
    r"(?P<notebook>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\.(?P<domain>[^:]+)(?::[0-9]{1,5})?",
    re.IGNORECASE | re.ASCII,
)
_MOST_TOKENS: Final = 8
_MOST_COOKIES: Final = 200
"""A page of a sibling domain can plant cookies of our name beside the real one, and ahead of it: look at as many as a
browser keeps for a site, so that it locks nobody out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a request says of itself, as received."""

    method: str
    host: str
    target: str
    """Path and query, undecoded."""
    peer: Peer
    websocket: bool = False
    origins: tuple[str, ...] = ()
    authorization: str | None = None
    sessions: tuple[str, ...] = ()
    """Values of every cookie that may be our session."""
    fetch_site: str | None = None
    """``Sec-Fetch-Site``, which no page can forge; likewise mode and destination."""
    fetch_mode: str | None = None
    fetch_dest: str | None = None
    referer: str | None = None


class Why(StrEnum):
    """Why a request is refused."""

    NO_TOKEN = "no-token"  # noqa: S105 - a reason, not a secret
    WRONG_TOKEN = "wrong-token"  # noqa: S105 - a reason, not a secret
    OTHER_ACCOUNT = "other-account"
    """The token is right, and who shows it is not its owner."""
    FOREIGN_ORIGIN = "foreign-origin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Allow:
    """The request may pass. ``target`` is what the editor may see of the address."""

    target: str
    by_token: bool
    """The caller showed the token itself and has no page whose XSRF pair it could send: the gateway adds one."""
    proven: bool
    """The caller is the owner or someone the owner told the token to; False where none was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect:
    """Go on at the same address without ``?token=``, with a new session if ``start_session``."""

    location: str
    start_session: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """The request may not pass."""

    why: Why


Decision = Allow | Redirect | Refuse


class _Proof(StrEnum):
    BEARER = "bearer"
    QUERY = "query"
    SESSION = "session"
    NONE_ASKED = "none-asked"
    ANOTHERS = "anothers"
    """The token itself, from an account that may not use it."""


def notebook_of_host(host: str, domain: str) -> str | None:
    """The id of the notebook that a ``Host`` value means, in lower case; None when it is none of ours."""
    match = _HOST.fullmatch(host)
    if match is None or match["domain"].lower() != domain.lower():
        return None
    return match["notebook"].lower()


def decide(facts: Facts, route: Route, *, now_s: float) -> Decision:
    """Whether a request to the notebook of ``route`` may pass at ``now_s`` (Unix seconds)."""
    target, tokens = without_token(facts.target)
    proof = _proof(facts, route, tokens, now_s)
    if proof is None:
        return Refuse(why=Why.WRONG_TOKEN if tokens or facts.sessions or facts.authorization else Why.NO_TOKEN)
    if proof is _Proof.ANOTHERS:
        return Refuse(why=Why.OTHER_ACCOUNT)
    if tokens and proof is not _Proof.BEARER and not facts.websocket and facts.method in _NAVIGATION_METHODS:
        return Redirect(location=_local(target), start_session=proof is _Proof.QUERY)
    if _changes_something(facts) and not _comes_from_home(facts, proof):
        return Refuse(why=Why.FOREIGN_ORIGIN)
    if proof in {_Proof.SESSION, _Proof.NONE_ASKED} and _is_loaded_by_another_site(facts):
        return Refuse(why=Why.FOREIGN_ORIGIN)
    return Allow(
        target=target,
        by_token=proof in {_Proof.BEARER, _Proof.QUERY},
        proven=proof is not _Proof.NONE_ASKED,
    )


def mint_session(route: Route, peer: Peer, *, nonce: str, expires_at: int) -> str:
    """The cookie value of a session of ``peer`` with this notebook. ``nonce`` is random, in lower-case hex."""
    key = _key(route.session_key)
    if key is None:
        raise ValueError(f"cannot start a session with notebook {route.notebook}: it has no session key")
    return f"{expires_at}.{nonce}.{_mac(key, route, peer, str(expires_at), nonce)}"


def _key(in_hex: str | None) -> bytes | None:
    return bytes.fromhex(in_hex) if in_hex is not None and _HASH.fullmatch(in_hex) else None


def _mac(key: bytes, route: Route, peer: Peer, expiry: str, nonce: str) -> str:
    message = f"notebookd-session|{route.notebook}|{peer}|{expiry}|{nonce}"
    return hmac.new(key, message.encode(), hashlib.sha256).hexdigest()


def _proof(facts: Facts, route: Route, tokens: tuple[str, ...], now_s: float) -> _Proof | None:
    """The strongest proof in the request. A wrong one beside a right one does no harm."""
    shown = _token_shown(facts, route, tokens)
    if shown is not None and _may_use_token(facts.peer, route):
        return shown
    if _has_session(facts, route, now_s):
        return _Proof.SESSION
    if route.unsecure_http:
        return _Proof.NONE_ASKED
    return None if shown is None else _Proof.ANOTHERS


def _token_shown(facts: Facts, route: Route, tokens: tuple[str, ...]) -> _Proof | None:
    if (key := _key(route.token_hash)) is None:
        return None
    scheme, _, bearer = (facts.authorization or "").strip().partition(" ")
    if scheme.lower() in {"bearer", "token"} and _is_token(bearer.strip(), key):
        return _Proof.BEARER
    return _Proof.QUERY if any(_is_token(token, key) for token in tokens[:_MOST_TOKENS]) else None


def _may_use_token(peer: Peer, route: Route) -> bool:
    return peer.uid in {ROOT, route.owner_uid} if isinstance(peer, Account) else peer is not UNKNOWN


def _has_session(facts: Facts, route: Route, now_s: float) -> bool:
    if facts.peer is UNKNOWN or (key := _key(route.session_key)) is None:
        return False
    return any(_is_session(value, route, facts.peer, key, now_s) for value in facts.sessions[:_MOST_COOKIES])


def _is_token(candidate: str, key: bytes) -> bool:
    return hmac.compare_digest(hashlib.sha256(candidate.encode("utf-8", "surrogateescape")).digest(), key)


def _is_session(value: str, route: Route, peer: Peer, key: bytes, now_s: float) -> bool:
    match = _SESSION.fullmatch(value)
    if match is None or int(match["expiry"]) <= now_s:
        return False
    return hmac.compare_digest(_mac(key, route, peer, match["expiry"], match["nonce"]), match["mac"])


def _comes_from_home(facts: Facts, proof: _Proof) -> bool:
    home = "http://" + facts.host.lower().removesuffix(":80")
    if facts.origins:
        return all(origin.lower() == home for origin in facts.origins)
    if proof in {_Proof.BEARER, _Proof.QUERY}:
        return True
    if facts.websocket:
        return False  # every browser names the Origin of a websocket
    if facts.fetch_site is not None:
        return facts.fetch_site.lower() == "same-origin"
    if facts.referer is not None:
        return facts.referer.lower().startswith(home + "/")
    return proof is _Proof.NONE_ASKED  # a program; browsers of this decade name an Origin with every such method


def _changes_something(facts: Facts) -> bool:
    return facts.websocket or facts.method not in _SAFE_METHODS


def _is_loaded_by_another_site(facts: Facts) -> bool:
    """Whether a browser says so; it says nothing to an address that is neither encrypted nor this machine's own."""
    if facts.fetch_site is None or facts.fetch_site.lower() in {"same-origin", "none"}:
        return False
    leads_here = facts.fetch_mode == "navigate" and facts.fetch_dest == "document"
    return not (leads_here and facts.method in _NAVIGATION_METHODS)


def without_token(target: str) -> tuple[str, tuple[str, ...]]:
    """``target`` less its ``token`` parameters, all else byte for byte as it was; and their values."""
    path, mark, query = target.partition("?")
    if not mark:
        return target, ()
    kept: list[str] = []
    tokens: list[str] = []
    for name, value, pair in _pairs(query):
        if name == "token":
            tokens.append(value)
        else:
            kept.append(pair)
    if not tokens:
        return target, ()
    return (f"{path}?{'&'.join(kept)}" if kept else path), tuple(tokens)


def _pairs(query: str) -> Iterator[tuple[str, str, str]]:
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        yield unquote_plus(name), unquote_plus(value), pair


def _local(target: str) -> str:
    """``target`` as a Location that stays on this origin: ``//host`` and its spelling ``/\\host`` do not."""
    return "/" + target.lstrip("/\\")
