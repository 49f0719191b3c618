# SPDX-License-Identifier: Apache-2.0
"""The machine's accounts and groups, by NSS.

NSS has no time limit: a lookup may take as long as an LDAP server does. So each runs in a thread, several at once and
each thing once; an answer is believed for a while, and given on when the next one does not come in time.
"""

from __future__ import annotations

import _thread
import asyncio
import ctypes
import grp
import logging
import os
import pwd
import re
from collections import deque
from collections.abc import Callable, Collection, Hashable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar, cast

from notebookd.errors import DirectoryUnavailable
from notebookd.ports.clock import Clock
from notebookd.ports.directory import Person

FRESH_S = 10.0
"""How long an answer is believed without asking again."""

STALE_S = 24 * 3600.0
"""How long an answer is given on while the directory service does not answer."""

PATIENCE_S = 0.5
"""How long a caller waits for a newer answer than the one that is known."""

LONGEST_S = 30.0
"""How long a caller waits for what was never known."""

ROOT = "root"
AT_ONCE = 16
MOST_WAITING = 1024
MOST_KNOWN = 10_000

_SLOW_S = 5.0
_MOST_GROUPS = 65_536
_ESCAPE = re.compile(rb"\\x([0-9a-f]{2})")
_libc = ctypes.CDLL(None, use_errno=True)

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A row of passwd; ``raw`` is its name as the directory service has it."""

    raw: bytes
    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class _Lookup(Generic[T]):
    key: tuple[Any, ...]
    look_up: Callable[[], T]


@dataclass(frozen=True, slots=True)
class _Known:
    value: Any
    at: float


@dataclass(frozen=True, slots=True)
class _Asked:
    answer: asyncio.Future[None]
    since: float


class SystemDirectory:
    """See :class:`~notebookd.ports.directory.Directory`; all calls come from one event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[Hashable, _Known] = {}
        self._asked: dict[Hashable, _Asked] = {}
        self._waiting: deque[Callable[[], None]] = deque()
        self._running = 0

    async def peer(self, uid: int, gids: Collection[int] | None) -> Person:
        """See :class:`~notebookd.ports.directory.Directory`, here and below."""
        try:
            return await self._peer(uid, gids, PATIENCE_S if uid == 0 else LONGEST_S)
        except DirectoryUnavailable:
            if uid != 0:
                raise
            return Person(name=ROOT, uid=0, groups=frozenset())

    async def _peer(self, uid: int, gids: Collection[int] | None, longest_s: float) -> Person:
        for gid in gids or ():  # all are asked for before one is waited for
            self._refreshed(_group(gid))
        account = await self._ask(_uid(uid), longest_s)
        if gids is None:
            gids = await self._ask(_groups(account), longest_s) if account is not None else ()
        elif account is not None:
            self._stand_in(_groups(account), tuple(gids))
        names = await self._group_names(gids, longest_s)
        return Person(name=account.name if account is not None else str(uid), uid=uid, groups=names)

    async def person(self, name: str) -> Person | None:
        """By the name."""
        account = await self._ask(_name(name), LONGEST_S)
        if account is None:
            return None
        gids = await self._ask(_groups(account), LONGEST_S)
        person = Person(name=name, uid=account.uid, groups=await self._group_names(gids, LONGEST_S))
        self._remember(_whole(name), _Known(person, self._clock.awake()))
        return person

    async def has_group(self, name: str) -> bool:
        """By the name."""
        return await self._ask(_group_named(name), LONGEST_S) is not None

    async def _group_names(self, gids: Collection[int], longest_s: float) -> frozenset[str]:
        for gid in gids:
            self._refreshed(_group(gid))
        names = [await self._ask(_group(gid), longest_s) for gid in gids]
        return frozenset(name for name in names if name is not None)

    def name_now(self, uid: int) -> str:
        """The name of a uid as far as it is known, without waiting; its number until then."""
        try:
            account = self._now(_uid(uid))
        except DirectoryUnavailable:
            return str(uid)
        return account.name if account is not None else str(uid)

    def person_now(self, name: str) -> Person | None:
        """:meth:`person` without waiting: as it was known last. Raises DirectoryUnavailable where it was not."""
        account = self._now(_name(name))
        if account is None:
            return None
        try:
            gids = self._now(_groups(account))
            names = [self._now(_group(gid)) for gid in gids]
        except DirectoryUnavailable:  # a group is new: as it was known before
            known = self._known.get(_whole(name))
            if known is None or not self._stands_in(_whole(name)) or known.value.uid != account.uid:
                raise
            return cast("Person", known.value)
        return Person(name=name, uid=account.uid, groups=frozenset(each for each in names if each is not None))

    async def learn(self, names: Collection[str]) -> None:
        """Wait a moment until :meth:`person_now` knows of these names."""
        end = self._loop_time() + PATIENCE_S
        while (left := end - self._loop_time()) > 0:
            waiting = {asked.answer for name in names for asked in self._wanted(name)}
            if not waiting:
                return
            await asyncio.wait(waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED)

    def _wanted(self, name: str) -> Iterator[_Asked]:
        """The lookups that are on their way for :meth:`person_now`, but those that have been for long."""
        account = self._known.get(_name(name).key)
        groups = _groups(account.value) if account is not None and account.value is not None else None
        gids = self._known.get(groups.key) if groups is not None else None
        lookups: list[_Lookup[Any]] = [
            _name(name),
            *([groups] if groups else []),
            *map(_group, gids.value if gids is not None else ()),
        ]
        for asked in map(self._refreshed, lookups):
            if asked is not None and self._left(asked) > 0:
                yield asked

    def _loop_time(self) -> float:
        return asyncio.get_running_loop().time()

    def _now(self, lookup: _Lookup[T]) -> T:
        self._refreshed(lookup)
        return self._usable(lookup)

    async def _ask(self, lookup: _Lookup[T], longest_s: float) -> T:
        asked = self._refreshed(lookup)
        if asked is not None:
            left = min(self._left(asked), longest_s) if self._stands_in(lookup.key) else longest_s
            if left > 0:
                await asyncio.wait({asked.answer}, timeout=left)
        return self._usable(lookup)

    def _left(self, asked: _Asked) -> float:
        """How long a lookup is waited for by who has another answer: so long in all, whoever asks."""
        return PATIENCE_S - (self._clock.awake() - asked.since)

    def _usable(self, lookup: _Lookup[T]) -> T:
        if self._is_fresh(lookup.key) or self._stands_in(lookup.key):
            return cast("T", self._known[lookup.key].value)
        raise DirectoryUnavailable(
            "cannot look up accounts and groups: the directory service does not answer",
            hint="try again; an admin sees with `time getent passwd NAME` how long it takes",
        )

    def _is_fresh(self, key: Hashable) -> bool:
        known = self._known.get(key)
        return known is not None and self._clock.awake() - known.at < FRESH_S

    def _stands_in(self, key: Hashable) -> bool:
        """Whether an old answer may stand in for a new one. That there is no such thing may not: a directory service
        that is away says so of everybody."""
        known = self._known.get(key)
        return known is not None and known.value is not None and self._clock.awake() - known.at < STALE_S

    def _stand_in(self, lookup: _Lookup[T], value: T) -> None:
        """Take ``value``, which the kernel says, for the answer until there is one."""
        if lookup.key not in self._known:
            self._remember(lookup.key, _Known(value, self._clock.awake() - FRESH_S))

    def _refreshed(self, lookup: _Lookup[Any]) -> _Asked | None:
        """The lookup that is on its way; None where what is known is fresh, or too many wait already."""
        if self._is_fresh(lookup.key):
            return None
        asked = self._asked.get(lookup.key)
        if asked is None and len(self._asked) < MOST_WAITING:
            loop = asyncio.get_running_loop()
            asked = self._asked[lookup.key] = _Asked(loop.create_future(), self._clock.awake())
            self._waiting.append(partial(self._work, loop, lookup))
            self._serve()
        return asked

    def _serve(self) -> None:
        while self._waiting and self._running < AT_ONCE:
            self._running += 1
            # Neither waited for when it begins, as threading does, nor at the end of the process.
            _thread.start_new_thread(self._waiting.popleft(), ())

    def _work(self, loop: asyncio.AbstractEventLoop, lookup: _Lookup[Any]) -> None:
        """In a thread of its own."""
        try:
            value, fault = lookup.look_up(), None
        except Exception as caught:  # noqa: BLE001 - whatever it is, nothing was learnt, and who waits is told
            value, fault = None, caught
        try:
            loop.call_soon_threadsafe(self._answered, lookup, value, fault)
        except RuntimeError:
            return  # the loop has ended meanwhile

    def _answered(self, lookup: _Lookup[Any], value: Any, fault: Exception | None) -> None:
        asked, now = self._asked.pop(lookup.key), self._clock.awake()
        self._running -= 1
        if fault is None:
            self._remember(lookup.key, _Known(value, now))
            if isinstance(value, Account):
                self._remember(_name(value.name).key, _Known(value, now))
        if fault is not None or now - asked.since > _SLOW_S:
            log.warning("looking up %s %s took %.1f s (%s)", *lookup.key[:2], now - asked.since, fault or "answered")
        if not asked.answer.done():
            asked.answer.set_result(None)
        self._serve()

    def _remember(self, key: Hashable, known: _Known) -> None:
        self._known.pop(key, None)
        self._known[key] = known
        if len(self._known) > MOST_KNOWN:
            self._known.pop(next(iter(self._known)))


def shown(raw: str) -> str:
    """A name as NSS gives it, as text that can be shown and kept: what is not UTF-8, and what would steer a terminal,
    is written ``\\xNN``. Two names stay two."""
    text = os.fsencode(raw).decode("utf-8", "backslashreplace")
    return "".join(each if each.isprintable() else _escaped(each) for each in text)


def _escaped(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in character.encode())


def raw_names(name: str) -> list[str]:
    """The names that :func:`shown` makes this of: itself, and the one whose bytes are written in it."""
    data = _ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), name.encode("utf-8", "backslashreplace"))
    return list(dict.fromkeys((name, os.fsdecode(data))))


def name_of(uid: int) -> str:
    """The name of a uid, however long that takes; its number where it has none."""
    return _user_name(uid) or str(uid)


def _user_name(uid: int) -> str | None:
    account = _account_of_uid(uid)
    return account.name if account is not None else None


def _whole(name: str) -> Hashable:
    """What the last whole answer about a name is kept under."""
    return ("person", name)


def _uid(uid: int) -> _Lookup[Account | None]:
    return _Lookup(("uid", uid), partial(_account_of_uid, uid))


def _name(name: str) -> _Lookup[Account | None]:
    return _Lookup(("name", name), partial(_account_of_name, name))


def _groups(account: Account) -> _Lookup[tuple[int, ...]]:
    return _Lookup(("groups of", account.name, account.gid), partial(_group_ids, account))


def _group(gid: int) -> _Lookup[str | None]:
    return _Lookup(("group", gid), partial(_group_name, gid))


def _group_named(name: str) -> _Lookup[int | None]:
    return _Lookup(("group named", name), partial(_gid_of_name, name))


def _account_of_uid(uid: int) -> Account | None:
    try:
        return _account(pwd.getpwuid(uid))
    except (KeyError, OverflowError):
        return None


def _account_of_name(name: str) -> Account | None:
    for raw in raw_names(name):
        try:
            return _account(pwd.getpwnam(raw))
        except (KeyError, ValueError):
            continue
    return None


def _account(found: pwd.struct_passwd) -> Account:
    raw = os.fsencode(found.pw_name)
    return Account(raw=raw, name=shown(found.pw_name), uid=found.pw_uid, gid=found.pw_gid)


def _group_name(gid: int) -> str | None:
    try:
        return shown(grp.getgrgid(gid).gr_name)
    except (KeyError, OverflowError):
        return None


def _gid_of_name(name: str) -> int | None:
    for raw in raw_names(name):
        try:
            return grp.getgrnam(raw).gr_gid
        except (KeyError, ValueError):
            continue
    return None


def _group_ids(account: Account) -> tuple[int, ...]:
    """``os.getgrouplist`` that lets other threads run: Python's own holds the interpreter up meanwhile."""
    gid, count = ctypes.c_uint32(account.gid), 64
    while count <= _MOST_GROUPS:
        found, room = (ctypes.c_uint32 * count)(), ctypes.c_int(count)
        if _libc.getgrouplist(account.raw, gid, found, ctypes.byref(room)) >= 0:
            return tuple(found[: room.value])
        count = max(count * 2, room.value)
    return (account.gid,)
