# SPDX-License-Identifier: Apache-2.0
"""The engine port on Podman: calls in threads, streams over aiohttp, and Podman's word checked against /proc."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, closing
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Self

from notebookd.adapters.clock import SystemClock
from notebookd.adapters.podman.archive import only_file
from notebookd.adapters.podman.beginning import await_command, await_reason
from notebookd.adapters.podman.calls import Calls, Session
from notebookd.adapters.podman.creation import create_container
from notebookd.adapters.podman.execution import PodmanExec, exec_body, open_exec
from notebookd.adapters.podman.farewell import say_farewell
from notebookd.adapters.podman.kept_logs import Logs
from notebookd.adapters.podman.listing import Row, Sightings, rows_of
from notebookd.adapters.podman.liveness import Liveness, kill_process
from notebookd.adapters.podman.mounts import moved_mount
from notebookd.adapters.podman.removal import force_remove
from notebookd.adapters.podman.seccomp import Profile
from notebookd.adapters.podman.spec import create_body
from notebookd.adapters.podman.streams import Streams
from notebookd.adapters.podman.translate import (
    Inspected,
    image_of,
    info_of,
    network_command_of,
    unavailable,
)
from notebookd.errors import ContainerMissing, EngineError, EngineUnavailable, MountMoved
from notebookd.ports.clock import Clock
from notebookd.ports.engine import (
    LABEL_PREFIX,
    Container,
    ContainerSpec,
    ContainerStatus,
    EngineEvent,
    EngineInfo,
    ExecSession,
    Image,
    LogLine,
    Mount,
)

log = logging.getLogger(__name__)

INSTANCE_LABEL = f"{LABEL_PREFIX}instance"
END_PAUSES_S = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.4)
"""How long a dead process under a living conmon may take to become an exit code."""
CLEAR_WITHIN_S, CLEAR_PAUSE_S = 15.0, 0.02
"""For Podman to clear up after a container that ended. It does so in a program of its own, some 0.1 s later."""
ANSWER_WITHIN_S = 30.0
_LOOK_FOR_OUTPUT_S = 1.0


class PodmanEngine:
    """An :class:`~notebookd.ports.engine.Engine` on a libpod API socket. Open it with :meth:`open`."""

    def __init__(
        self, socket: Path, instance: str, calls: Calls, streams: Streams, profile: Profile, clock: Clock, logs: Logs
    ) -> None:
        self._socket = socket
        self._clock = clock
        self.instance = instance
        self._calls = calls
        self._streams = streams
        self._liveness = Liveness()
        self._sightings = Sightings(self._liveness)
        self._ids: dict[str, str] = {}
        self._unused: set[str] = set()
        self._host: tuple[frozenset[str], str, dict[str, Any]] | None = None
        self._profile = profile
        self._logs = logs

    @classmethod
    @asynccontextmanager
    async def open(
        cls, socket: Path, instance: str, *, profile: Path, logs: Path | None = None, timeout_s: float = ANSWER_WITHIN_S
    ) -> AsyncIterator[Self]:
        """An engine for this instance's containers. Does not connect yet: an engine that is down is no error here.

        ``profile`` is where the containers' seccomp profile is written, for the engine to read; no container may see
        its folder. In ``logs`` the logs of containers that have an image are kept, beyond what conmon keeps; without,
        they are where Podman has them. An engine that does not answer within ``timeout_s`` (a stop: beyond its grace)
        is unavailable.
        """
        calls, streams = Calls(socket, timeout_s=timeout_s), Streams(socket, timeout_s=timeout_s)
        try:
            yield cls(socket, instance, calls, streams, Profile(profile), SystemClock(), Logs(logs))
        finally:
            await streams.aclose()
            await calls.aclose()

    async def info(self) -> EngineInfo:
        """See :meth:`Engine.info`. Podman takes some 150 ms over it: not for every turn of a loop."""

        def look(session: Session) -> EngineInfo:
            body = self._read_host(session)
            volume = session.get(f"/volumes/{self._mark}/json", "look for the storage's mark")
            return info_of(body, storage_known=volume is not None)

        return await self._calls.run(look)

    async def mark_storage(self) -> None:
        """See :meth:`Engine.mark_storage`: the mark is an empty volume."""
        body = {"Name": self._mark, "Labels": {INSTANCE_LABEL: self.instance}}

        def mark(session: Session) -> None:
            if session.get(f"/volumes/{self._mark}/json", "look for the storage's mark") is None:
                session.post("/volumes/create", "mark the storage", body=body)

        await self._calls.run(mark)

    async def create(self, spec: ContainerSpec) -> Container:
        """See :meth:`Engine.create`. The instance's label is put on whatever the spec says."""
        action = f"create container {spec.name}"

        def create(session: Session) -> Container:
            if self._host is None:
                self._read_host(session)
            assert self._host is not None
            controllers, network_command, security = self._host
            body = create_body(spec, controllers=controllers, network_command=network_command)
            body["seccomp_profile_path"] = str(self._profile.ready(security, action))
            body["labels"][INSTANCE_LABEL] = self.instance
            if spec.rootfs is None:
                body["log_configuration"] |= self._logs.place(spec.name)
            container_id = create_container(session, action, body)
            self._unused.add(container_id)
            return self._must_look(session, container_id, action)

        return await self._calls.run(create)

    async def read_file(self, name: str, path: str) -> bytes | None:
        """See :meth:`Engine.read_file`."""
        action = f"read {path} of container {name}"

        def read(session: Session) -> bytes | None:
            container_id = self._ours(session, name, action)
            packed = session.get_bytes(f"/containers/{container_id}/archive", action, params={"path": path})
            return None if packed is None else only_file(packed)

        return await self._calls.run(read)

    async def start(self, name: str, *, checked: Sequence[Mount] = ()) -> Container:
        """See :meth:`Engine.start`. A container lost under a dead conmon cannot be started again: EngineError.

        To check mounts it is started in two steps: Podman's ``init`` makes all of it but for its program, and then
        nothing of its mounts can change any more."""
        action = f"start container {name}"
        told = [mount for mount in checked if mount.identity is not None]

        def start(session: Session) -> Container:
            container_id = self._ids.get(name) or self._ours(session, name, action)
            try:
                first = container_id in self._unused
                self._unused.discard(container_id)
                if told:
                    if not first:
                        self._await_clear(session, container_id, action)
                    self._check(session, container_id, told, action)
                session.post(f"/containers/{container_id}/start", action)
                self._await_command(session, container_id, action)
            except ContainerMissing:
                self._forget(name, container_id)
                raise
            started = self._must_look(session, container_id, action)
            if started.status is ContainerStatus.LOST:
                raise EngineError(f"cannot {action}: its process is gone and Podman does not know; remove it")
            return started

        return await self._calls.run(start)

    async def stop(self, name: str, *, grace_s: float) -> Container | None:
        """See :meth:`Engine.stop`. Under a dead conmon Podman's own stop hangs, so that one is not asked."""
        action = f"stop container {name}"

        found = await self._calls.run(lambda session: self._inspect(session, name, action))
        if found is None:
            return None
        left_s = await self._say_farewell(found, grace_s)
        if found.claims_process and self._liveness.conmon_alive(found):
            await self._ask_to_stop(found, left_s, action)
        elif found.claims_process:
            await self._calls.run(lambda _: self._kill_unattended(found, left_s))
        return await self._calls.run(lambda session: self._look(session, found.id, action))

    async def remove(self, name: str) -> None:
        """See :meth:`Engine.remove`."""
        action = f"remove container {name}"

        def remove(session: Session) -> None:
            found = self._inspect(session, name, action)
            if found is None:
                return
            if found.claims_process and not self._liveness.conmon_alive(found):
                self._kill_unattended(found, 0)
            force_remove(session, found.id, action)
            self._forget(name, found.id)

        await self._calls.run(remove)
        self._logs.remove(name)

    async def find(self, name: str) -> Container | None:
        """See :meth:`Engine.find`. Each is inspected, in a burst, too: there a listing gains nothing, for Podman makes
        one of 40 containers in the time of some 25 inspections side by side."""
        return await self._calls.run(lambda session: self._look(session, name, f"look at container {name}"))

    async def lives(self, pid: int) -> bool:
        """See :meth:`Engine.lives`."""
        return self._liveness.in_container(pid)

    async def list_containers(self) -> list[Container]:
        """See :meth:`Engine.list_containers`. Each of which Podman's listing does not tell all is inspected."""

        def look(session: Session) -> list[Container]:
            rows = self._list(session)
            found = [self._sightings.believed(row) or self._look(session, row["Id"], "list containers") for row in rows]
            return [container for container in found if container is not None]

        containers = await self._calls.run(look)
        await self._logs.sweep([each.name for each in containers])
        return containers

    async def find_image(self, reference: str) -> Image | None:
        """See :meth:`Engine.find_image`."""
        path = f"/images/{reference}/json"
        body = await self._calls.run(lambda session: session.get(path, f"look at image {reference}"))
        return None if body is None else image_of(body)

    def events(self) -> AsyncIterator[EngineEvent]:
        """See :meth:`Engine.events`."""
        return self._streams.events(self.instance)

    async def logs(
        self, name: str, *, since: datetime | None = None, tail: int | None = None, follow: bool = False
    ) -> AsyncIterator[LogLine]:
        """See :meth:`Engine.logs`."""
        container_id = await self._calls.run(lambda s: self._ours(s, name, f"read logs of container {name}"))
        read = partial(self._streams.logs, container_id, since=since, tail=tail)
        async with aclosing(self._logs.earlier(name, read, since=since, tail=tail)) as earlier:
            async for line in earlier:
                yield line
        lines = self._followed(container_id, name, since, tail) if follow else read(follow=False)
        async with aclosing(lines):  # type: ignore[type-var]
            async for line in lines:
                yield line

    async def _followed(
        self, container_id: str, name: str, since: datetime | None, tail: int | None
    ) -> AsyncIterator[LogLine]:
        """The lines of a container's present log, and all that come, to its end."""
        follower = await asyncio.to_thread(self._logs.follow, name)
        if follower is None:
            async for line in self._streams.logs(container_id, since=since, tail=tail, follow=True):
                yield line
            return
        floor = since.replace(microsecond=0) if since else None
        with closing(follower):
            lines = await asyncio.to_thread(follower.last, tail) if tail is not None else []
            async with self._streams.output(container_id) as wait:
                runs = True
                while lines or runs:
                    for line in lines:
                        if floor is None or line.at >= floor:
                            yield line
                    if not (lines := await asyncio.to_thread(follower.read)) and runs:
                        runs = await wait(_LOOK_FOR_OUTPUT_S)
                        lines = await asyncio.to_thread(follower.read)

    async def hold_logs(self) -> None:
        """See :meth:`Engine.hold_logs`."""
        await self._logs.hold()

    def exec(
        self,
        name: str,
        command: tuple[str, ...],
        *,
        tty: bool,
        stdin: bool,
        env: Mapping[str, str] | None = None,
        folder: str = "",
    ) -> AbstractAsyncContextManager[ExecSession]:
        """See :meth:`Engine.exec`."""
        return self._exec(name, command, tty=tty, stdin=stdin, env=env or {}, folder=folder)

    @asynccontextmanager
    async def _exec(
        self,
        name: str,
        command: tuple[str, ...],
        *,
        tty: bool,
        stdin: bool,
        env: Mapping[str, str],
        folder: str,
    ) -> AsyncIterator[PodmanExec]:
        container_id = await self._calls.run(lambda s: self._ours(s, name, f"run a command in container {name}"))
        body = exec_body(command, tty=tty, stdin=stdin, env=env, folder=folder)
        async with open_exec(self._calls, self._socket, container_id, body) as running:
            yield running

    async def _say_farewell(self, found: Inspected, grace_s: float) -> int:
        stat = self._liveness.process(found) if found.claims_process else None
        if stat is None or grace_s <= 0:
            return 0
        return await say_farewell(self._calls, self._clock, found.pid, stat, has_init=found.has_init, grace_s=grace_s)

    async def _ask_to_stop(self, found: Inspected, grace_s: int, action: str) -> None:
        try:
            await self._streams.stop(found.id, grace_s=grace_s, action=action)
        except ContainerMissing:
            return
        except EngineUnavailable:
            if self._liveness.conmon_alive(found):
                raise
            # conmon died under the stop: Podman would wait for ever
            await self._calls.run(lambda _: self._kill_unattended(found, 0))

    # What follows runs in worker threads.

    @property
    def _mark(self) -> str:
        return f"notebookd-{self.instance}"

    def _read_host(self, session: Session) -> dict[str, Any]:
        body: dict[str, Any] = session.get("/info", "look at the engine")
        controllers = frozenset(body["host"].get("cgroupControllers") or ())
        self._host = (controllers, network_command_of(body), body["host"].get("security") or {})
        return body

    def _ours(self, session: Session, name: str, action: str) -> str:
        """The id of our container of that name. Calls go by id: a name may become a stranger's, an id cannot."""
        found = self._inspect(session, name, action)
        if found is None:
            raise ContainerMissing(f"cannot {action}: there is none")
        return found.id

    def _forget(self, name: str, container_id: str) -> None:
        self._ids.pop(name, None)
        self._unused.discard(container_id)
        self._liveness.forget(container_id)

    def _list(self, session: Session) -> list[Row]:
        """Podman's listing of all our containers."""
        params = {"all": "true", "filters": json.dumps({"label": [f"{INSTANCE_LABEL}={self.instance}"]})}
        body = session.get("/containers/json", "list containers", params=params)
        rows = rows_of(body, label=INSTANCE_LABEL, instance=self.instance)
        self._sightings.keep(rows)
        return rows

    def _inspect(self, session: Session, key: str, action: str) -> Inspected | None:
        """Podman's word on our container of that exact name or id."""
        body = session.get(f"/containers/{key}/json", action)
        if body is None:
            self._ids.pop(key, None)
            return None
        found = Inspected.of(body)
        if key not in (found.name, found.id) or found.labels.get(INSTANCE_LABEL) != self.instance:
            return None
        self._ids[found.name] = found.id
        return found

    def _look(self, session: Session, key: str, action: str) -> Container | None:
        """Podman's word, checked. A process that just ended is looked at again until conmon has written its end."""
        unattended = False
        for pause_s in END_PAUSES_S:
            found = self._inspect(session, key, action)
            if found is None:
                return None
            if not found.claims_process:
                return found.as_container(alive=found.is_ready and self._liveness.process(found) is not None)
            if self._liveness.process(found) is not None:
                return self._sightings.note(found)
            if unattended:
                break  # conmon was dead already when we looked: nobody will write it
            unattended = not self._liveness.conmon_alive(found)
            if not unattended:
                time.sleep(pause_s)
        return found.as_container(alive=False) if found else None

    def _check(self, session: Session, container_id: str, mounts: Sequence[Mount], action: str) -> None:
        """Make the container ready to run and look what stands at its mounts. One that is ready or runs stays so."""
        session.post(f"/containers/{container_id}/init", action)
        found = self._inspect(session, container_id, action)
        if found is None:
            raise ContainerMissing(f"cannot {action}: it is gone")
        if found.claims_process:
            return
        if not found.is_ready:
            raise EngineUnavailable(
                f"cannot {action}: its mounts cannot be looked at yet: Podman has undone its being ready"
            )
        moved = moved_mount(found.pid, mounts, action)
        if moved is not None:
            session.post(f"/containers/{container_id}/stop", action, params={"timeout": 0, "ignore": "true"})
            raise MountMoved(f"cannot {action}: what is mounted at {moved.target} is not what was at {moved.source}")

    def _await_clear(self, session: Session, container_id: str, action: str) -> None:
        """Until nobody attends to an earlier run of the container: clearing up after that would undo its being ready,
        and Podman's start would make it ready once more, unchecked."""
        deadline = time.monotonic() + CLEAR_WITHIN_S
        try:
            account = self._socket.stat().st_uid
        except OSError as error:
            raise unavailable(action, error) from error
        while time.monotonic() < deadline:
            found = self._inspect(session, container_id, action)
            if found is None or found.claims_process:
                return
            if not self._liveness.attended(container_id, by=account, but=found.conmon_pid if found.is_ready else 0):
                return
            time.sleep(CLEAR_PAUSE_S)
        raise EngineUnavailable(f"cannot {action}: Podman has not cleared up after its last run yet")

    def _await_command(self, session: Session, container_id: str, action: str) -> None:
        """Raises EngineError when the container's init could not run its program."""
        found = self._inspect(session, container_id, action)
        if found is None or not found.has_init:
            return
        if found.claims_process:
            await_command(found.pid, lambda: self._liveness.process(found) is not None)
            if self._liveness.process(found) is not None:
                return
            self._look(session, container_id, action)  # until its end is on record
        reason = await_reason(lambda: session.get(f"/containers/{container_id}/json", action))
        if reason is not None:
            raise EngineError(f"cannot {action}: {reason}")

    def _must_look(self, session: Session, key: str, action: str) -> Container:
        container = self._look(session, key, action)
        if container is None:
            raise ContainerMissing(f"cannot {action}: it is gone")
        return container

    def _kill_unattended(self, found: Inspected, grace_s: float) -> None:
        stat = self._liveness.process(found) if found.claims_process else None
        if stat is not None and not kill_process(found.pid, stat, grace_s=grace_s):
            raise EngineError(f"cannot stop container {found.name}: process {found.pid} survives SIGKILL")
