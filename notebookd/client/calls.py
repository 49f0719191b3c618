# SPDX-License-Identifier: Apache-2.0
"""The calls of the API, one method each."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, BinaryIO, Literal

from notebookd import wire
from notebookd.client.errors import ClientError
from notebookd.client.exchange import quoted
from notebookd.client.link import Link, Reply, target_of

_CHECK_TIMEOUT_S = 3600.0


class Client(Link):
    """Every call of the daemon behind one address."""

    def with_timeout(self, timeout_s: float) -> Client:
        """The same, with another patience for each answer."""
        return Client(self.address, token=self._token, timeout_s=timeout_s)

    # Notebooks

    def create_notebook(self, spec: wire.NotebookSpec, *, idempotency_key: str | None = None) -> Reply[wire.Notebook]:
        """Create a notebook and start it. The same key within a day gives the first answer again."""
        headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
        return Reply(self._send("POST", "/v1/notebook", body=wire.encode(spec), headers=headers), wire.Notebook)

    def list_notebooks(
        self,
        *,
        page: int = 1,
        size: int = 1000,
        states: Sequence[str] = (),
        user: str | None = None,
        labels: Mapping[str, str] | None = None,
        sort: str | None = None,
        order: str | None = None,
    ) -> Reply[wire.NotebookList]:
        """One page of one's own notebooks (an admin's list has everybody's), filtered; by ``sort``, ``asc`` or
        ``desc``."""
        query = {
            "page": page,
            "size": size,
            "statusState": list(states),
            "userName": user,
            "labelSelector": [f"{name}={value}" for name, value in (labels or {}).items()],
            "sort": sort,
            "order": order,
        }
        return self._get("/v1/notebook", wire.NotebookList, query)

    def each_notebook(
        self, *, states: Sequence[str] = (), user: str | None = None, labels: Mapping[str, str] | None = None
    ) -> Generator[wire.Notebook, None, None]:
        """Every notebook of the list, page by page; one that is made meanwhile comes last."""
        page, pages = 1, 1
        while page <= pages:
            found = self.list_notebooks(page=page, states=states, user=user, labels=labels).value
            yield from found.items
            page, pages = page + 1, found.metadata.page_count

    def get_notebook(self, notebook: str) -> Reply[wire.Notebook]:
        """A notebook by its id."""
        return self._get(_notebook(notebook), wire.Notebook)

    def patch_notebook(self, notebook: str, patch: wire.NotebookPatch, *, if_match: str | None = None) -> None:
        """Change the fields that the patch holds; ``if_match`` is the ETag that must still be current."""
        headers = {} if if_match is None else {"If-Match": if_match}
        self._send("PUT", _notebook(notebook), body=wire.encode(patch), headers=headers)

    def delete_notebook(self, notebook: str, *, force: bool = False) -> None:
        """Delete a notebook and its workspace; ``force`` also when it is active."""
        self._send("DELETE", _notebook(notebook), {"force": True} if force else {})

    def start_notebook(self, notebook: str, *, discard: bool = False) -> None:
        """Start a notebook; ``discard`` gives up copies that could not be pushed, or brought up to date."""
        self._send("PUT", _notebook(notebook, "/start"), {"discard": True} if discard else {})

    def stop_notebook(self, notebook: str, *, at_once: bool = False) -> None:
        """Stop a notebook; ``at_once`` waits for none of its data."""
        self._send("PUT", _notebook(notebook, "/stop"), {"now": True} if at_once else {})

    def restart_notebook(self, notebook: str) -> None:
        """Restart a notebook's container in place."""
        self._send("PUT", _notebook(notebook, "/restart"))

    def extend_notebook(
        self, notebook: str, *, duration: str | None = None, until: str | None = None
    ) -> Reply[wire.Extended]:
        """Move the deadline of a running notebook by a duration (``2d``), or to a time (RFC 3339)."""
        wish = wire.ExtendRequest(
            duration=wire.UNSET if duration is None else duration, until=wire.UNSET if until is None else until
        )
        return Reply(self._send("PUT", _notebook(notebook, "/extend"), body=wire.encode(wish)), wire.Extended)

    def label_notebook(self, notebook: str, name: str, value: str | None) -> None:
        """Set a label, or remove it (None)."""
        update = wire.LabelUpdate(name=name, value=wire.UNSET if value is None else value)
        self._send("PUT", _notebook(notebook, "/label"), body=wire.encode(update))

    def rename_notebook(self, notebook: str, name: str) -> None:
        """Give a notebook another name."""
        self._send("PUT", _notebook(notebook, "/rename"), body=wire.encode(wire.Rename(name=name)))

    def access(self, notebook: str) -> Reply[wire.Access]:
        """The URL with its token; for the owner."""
        return self._get(_notebook(notebook, "/access"), wire.Access)

    def renew_access(self, notebook: str) -> Reply[wire.Access]:
        """Give a notebook another token and end its sessions; for the owner."""
        return Reply(self._send("POST", _notebook(notebook, "/access/renew")), wire.Access)

    def why(self, notebook: str) -> Reply[wire.Why]:
        """Why a notebook is as it is."""
        return self._get(_notebook(notebook, "/why"), wire.Why)

    def command(self, spec: wire.NotebookSpec) -> Reply[wire.Command]:
        """The command line that equals a spec."""
        return Reply(self._send("POST", "/v1/notebook/command", body=wire.encode(spec)), wire.Command)

    # Data

    def sync_data(
        self, notebook: str, direction: Literal["pull", "push"], volume: str | None = None
    ) -> Reply[wire.DataSync]:
        """Transfer the data of a notebook: of all its volumes, or of one by its id or mount path."""
        wish = wire.DataSyncRequest(direction=direction, volume=wire.UNSET if volume is None else volume)
        return Reply(self._send("POST", _notebook(notebook, "/datasync"), body=wire.encode(wish)), wire.DataSync)

    def list_backups(self, notebook: str, *, page: int = 1, size: int = 1000) -> Reply[wire.NotebookBackupList]:
        """One page of a notebook's snapshots, the newest first."""
        return self._get(_notebook(notebook, "/backup"), wire.NotebookBackupList, {"page": page, "size": size})

    def fork_backup(self, notebook: str, backup: str) -> Reply[wire.Notebook]:
        """Make and start a new notebook whose workspace is that snapshot."""
        return Reply(self._send("POST", _notebook(notebook, f"/backup/{quoted(backup)}/fork")), wire.Notebook)

    def check_backups(self, notebook: str) -> Reply[wire.BackupCheck]:
        """Read all of a notebook's snapshots and see whether they are sound. It takes its time."""
        body = self._send("POST", _notebook(notebook, "/backup/check"), timeout_s=_CHECK_TIMEOUT_S)
        return Reply(body, wire.BackupCheck)

    def read_archive(self, notebook: str, path: str) -> AbstractContextManager[BinaryIO]:
        """What lies at a path of the workspace, as a tar stream. Its end before its time is an :class:`Unreachable`."""
        return self._download(_notebook(notebook, "/archive"), {"path": path})

    def write_archive(self, notebook: str, path: str, fill: Callable[[BinaryIO], None]) -> None:
        """Unpack a tar stream, which ``fill`` writes, into a folder of the workspace."""
        self._upload(_notebook(notebook, "/archive"), {"path": path}, fill)

    def remove_path(self, notebook: str, path: str) -> None:
        """Remove a file of the workspace, or a folder with all that is in it."""
        self._send("DELETE", _notebook(notebook, "/archive"), {"path": path}, timeout_s=_CHECK_TIMEOUT_S)

    def list_datastores(self) -> Reply[wire.DatastoreList]:
        """The datastores that the caller may read."""
        return self._get("/v1/datastore", wire.DatastoreList)

    def list_objects(self, alias: str, prefix: str = "") -> Reply[wire.ObjectList]:
        """What lies in a datastore below a prefix, one level deep."""
        return self._get(f"/v1/datastore/{quoted(alias)}/object", wire.ObjectList, {"prefix": prefix or None})

    def log(self, notebook: str, *, since: str | None = None, tail: int | None = None) -> Reply[wire.LogPage]:
        """What the editor wrote; ``since`` an RFC 3339 time, ``tail`` at most so many of the last lines."""
        return self._get(_notebook(notebook, "/log"), wire.LogPage, {"since": since, "tail": tail})

    def follow_log(
        self, notebook: str, *, since: str | None = None, tail: int | None = None
    ) -> Generator[Reply[wire.LogLine], None, None]:
        """The log line by line, as it is written, until the run ends. Close the iterator to leave earlier."""
        query = {"since": since, "tail": tail, "follow": True}
        return self._lines(_notebook(notebook, "/log"), query, wire.LogLine)

    def exec_target(
        self,
        notebook: str,
        command: Sequence[str],
        *,
        stdin: bool,
        tty: bool,
        env: Mapping[str, str] | None = None,
        folder: str | None = None,
    ) -> str:
        """The path and query to open a websocket at, on this client's socket, to run a command in the notebook, with
        more variables, and in a folder (absolute)."""
        query = {
            "command": list(command),
            "env": [f"{name}={value}" for name, value in (env or {}).items()],
            "workingDir": folder,
            "stdin": stdin,
            "stdout": True,
            "stderr": True,
            "tty": tty,
        }
        return target_of(_notebook(notebook, "/exec"), query)

    def exec_refusal(self, target: str) -> ClientError | None:
        """Why a websocket at that target is refused: a websocket's handshake does not tell. None when it is not."""
        try:
            self._send("GET", target)
        except ClientError as error:
            return error
        return None

    # App tokens

    def create_token(self, wish: wire.NewToken) -> Reply[wire.Token]:
        """Make a token that acts for the caller. Its value is in this answer and in none after it."""
        return Reply(self._send("POST", "/v1/token", body=wire.encode(wish)), wire.Token)

    def list_tokens(self, *, page: int = 1, size: int = 1000) -> Reply[wire.TokenList]:
        """One page of one's own tokens (an admin's list has everybody's)."""
        return self._get("/v1/token", wire.TokenList, {"page": page, "size": size})

    def get_token(self, token: str) -> Reply[wire.Token]:
        """A token by its id."""
        return self._get(f"/v1/token/{quoted(token)}", wire.Token)

    def renew_token(self, token: str) -> Reply[wire.Token]:
        """Give a token another value; the one before is worth nothing from now on."""
        return Reply(self._send("POST", f"/v1/token/{quoted(token)}/renew"), wire.Token)

    def chown(self, old: str, new: str) -> Reply[wire.Handover]:
        """Give the notebooks of one owner to another, for admins. The tokens of ``old`` end."""
        wish = wire.Chown(from_=old, to=new)
        return Reply(self._send("POST", "/v1/account/chown", body=wire.encode(wish)), wire.Handover)

    def delete_token(self, token: str) -> None:
        """End a token."""
        self._send("DELETE", f"/v1/token/{quoted(token)}")

    # The machine

    def list_flavors(self) -> Reply[list[wire.Flavor]]:
        """The flavors."""
        return self._get("/v1/capabilities/flavor", list[wire.Flavor])

    def get_flavor(self, flavor: str) -> Reply[wire.Flavor]:
        """A flavor by its id."""
        return self._get(f"/v1/capabilities/flavor/{quoted(flavor)}", wire.Flavor)

    def list_editors(self, *, compatible_with_framework: str | None = None) -> Reply[list[wire.Editor]]:
        """The editors."""
        query = {"compatibleWithFramework": compatible_with_framework}
        return self._get("/v1/capabilities/notebook/editor", list[wire.Editor], query)

    def get_editor(self, editor: str) -> Reply[wire.Editor]:
        """An editor by its id."""
        return self._get(f"/v1/capabilities/notebook/editor/{quoted(editor)}", wire.Editor)

    def list_frameworks(self, *, compatible_with_editor: str | None = None) -> Reply[list[wire.Framework]]:
        """The frameworks."""
        query = {"compatibleWithEditor": compatible_with_editor}
        return self._get("/v1/capabilities/notebook/framework", list[wire.Framework], query)

    def get_framework(self, framework: str) -> Reply[wire.Framework]:
        """A framework by its id."""
        return self._get(f"/v1/capabilities/notebook/framework/{quoted(framework)}", wire.Framework)

    def list_quotas(self) -> Reply[list[wire.Quotas]]:
        """What the caller may hold."""
        return self._get("/v1/capabilities/quota", list[wire.Quotas])

    def me(self) -> Reply[wire.Me]:
        """Who the daemon takes the caller for."""
        return self._get("/v1/me", wire.Me)

    def index(self) -> Reply[wire.Index]:
        """What is served beyond the OVHcloud AI API."""
        return self._get("/v1", wire.Index)

    def openapi(self) -> Reply[dict[str, Any]]:
        """The description of every route, as OpenAPI."""
        return self._get("/v1/openapi.json", dict[str, Any])

    def health(self) -> Reply[wire.Health]:
        """Readiness. A daemon that is not ready answers too, with status 503, and that is no refusal here."""
        return self._get("/v1/health", wire.Health, also=(503,))

    def config(self) -> Reply[wire.ConfigShown]:
        """The configuration in force, without secrets; to members the part that concerns them."""
        return self._get("/v1/config", wire.ConfigShown)

    def timings(self, notebook: str) -> Reply[wire.Timings]:
        """Where the time of a notebook's latest start went."""
        return self._get(_notebook(notebook, "/timings"), wire.Timings)

    def list_images(self) -> Reply[wire.ImageList]:
        """The images, and what can be built."""
        return self._get("/v1/image", wire.ImageList)

    def order_image(
        self, action: Literal["build", "prepare", "pull"], name: str, *, base: str | None = None
    ) -> Generator[Reply[wire.ImageProgress], None, None]:
        """Pull or prepare an image, or build a recipe, and tell how it gets on; the last line has what came of it.
        Close the iterator to give it up. For admins, as the next."""
        order = wire.ImageOrder(action=action, name=name, base=wire.UNSET if base is None else base)
        return self._lines("/v1/image", {}, wire.ImageProgress, order=wire.encode(order))

    def remove_image(self, name: str) -> None:
        """Remove an image, by its name or digest."""
        self._send("DELETE", "/v1/image", {"name": name})

    def list_gpus(self) -> Reply[wire.GpuList]:
        """The board."""
        return self._get("/v1/gpu", wire.GpuList)

    def drain_gpu(self, uuid: str, *, reason: str | None = None) -> None:
        """Grant no new lease of a GPU, for a reason that all may read; a running one goes on. For admins, as the four
        below."""
        self._send("PUT", _gpu(uuid, "/drain"), {"reason": reason} if reason else {})

    def undrain_gpu(self, uuid: str) -> None:
        """Lease a drained GPU out again."""
        self._send("PUT", _gpu(uuid, "/undrain"))

    def clear_gpu(self, uuid: str) -> None:
        """Take a GPU out of quarantine."""
        self._send("PUT", _gpu(uuid, "/clear"))

    def release_gpus(self) -> None:
        """Let go of the driver, so that it can be reset or upgraded. No GPU is leased out meanwhile."""
        self._send("PUT", "/v1/gpu/release")

    def acquire_gpus(self) -> None:
        """Take the driver again."""
        self._send("PUT", "/v1/gpu/acquire")

    def queue(self) -> Reply[wire.Queue]:
        """The waiting runs."""
        return self._get("/v1/queue", wire.Queue)

    def loads(self) -> Reply[wire.LoadList]:
        """What the running notebooks take of CPUs and memory now."""
        return self._get("/v1/load", wire.LoadList)

    def usage(
        self,
        *,
        start: str | None = None,
        end: str | None = None,
        group_by: Sequence[str] = (),
        user: str | None = None,
    ) -> Reply[wire.Usage]:
        """What was used from ``start`` up to ``end`` (days or RFC 3339 times), this month without them."""
        query = {"from": start, "to": end, "groupBy": ",".join(group_by) or None, "user": user}
        return self._get("/v1/usage", wire.Usage, query)

    def disk_usage(self) -> Reply[wire.DiskUsage]:
        """How full workspaces are, the fullest first."""
        return self._get("/v1/usage/disk", wire.DiskUsage)

    def receipt(self, notebook: str, *, run: int | None = None) -> Reply[wire.Receipt]:
        """The bill of a notebook's latest run, or of an earlier one by its number; also of a deleted notebook."""
        return self._get(_notebook(notebook, "/receipt"), wire.Receipt, {"run": run})

    def backup(self, sink: BinaryIO, progress: Callable[[int, int], None] = lambda _done, _size: None) -> int:
        """Write a consistent copy of the daemon's database to ``sink``, and give its size. For admins. ``progress``
        is called with the bytes written so far, and with the size."""
        return self._pour("/v1/backup", sink, progress)

    def events(
        self,
        *,
        after: int | None = None,
        notebook: str | None = None,
        since: str | None = None,
        types: Sequence[str] = (),
        limit: int | None = None,
    ) -> Generator[Reply[wire.Event], None, None]:
        """What happened, oldest first: after the event of that id, since that time, of those types (``gpu`` is of all
        ``gpu.xid`` and its like), and at most the newest ``limit`` of those."""
        query = _events(after, notebook, since, types, limit)
        return self._lines("/v1/event", query, wire.Event, self._timeout_s)

    def follow_events(
        self,
        *,
        after: int | None = None,
        notebook: str | None = None,
        since: str | None = None,
        types: Sequence[str] = (),
        limit: int | None = None,
    ) -> Generator[Reply[wire.Event], None, None]:
        """What happened and happens. Ends when the daemon goes or finds the reader slow: resume ``after`` the last."""
        return self._lines("/v1/event", _events(after, notebook, since, types, limit) | {"follow": True}, wire.Event)


def _events(
    after: int | None, notebook: str | None, since: str | None, types: Sequence[str], limit: int | None
) -> dict[str, Any]:
    return {"after": after, "notebook": notebook, "since": since, "type": list(types) or None, "limit": limit}


def _notebook(notebook: str, below: str = "") -> str:
    return f"/v1/notebook/{quoted(notebook)}{below}"


def _gpu(uuid: str, below: str) -> str:
    return f"/v1/gpu/{quoted(uuid)}{below}"
