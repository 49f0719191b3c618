# SPDX-License-Identifier: Apache-2.0
"""The API: one table of routes, each with the rule of who may call it. Reading the table is the review."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiohttp import web

from notebookd import wire
from notebookd.api import (
    about,
    accounts,
    archives,
    backup,
    config,
    datastores,
    images,
    machine,
    media,
    metrics,
    notebooks,
    params,
    streams,
    tokens,
    transfers,
    usage,
)
from notebookd.api.call import MAX_BODY, Access, Call, Services
from notebookd.api.errors import map_errors
from notebookd.api.peers import Callers, PeerPolicy, refuse_browsers, require
from notebookd.api.remembered import MEMORY, Memory
from notebookd.api.route import UPGRADE, Media, Route
from notebookd.api.turns import TURNS, Turns

_READER, _MEMBER, _PERSON, _ADMIN = Access.READER, Access.MEMBER, Access.PERSON, Access.ADMIN

_EVENTS = Media({media.JSON_LINES: wire.Event, media.TEXT: str})
_LOG = Media({"application/json": wire.LogPage, media.JSON_LINES: wire.LogLine, media.TEXT: str})
_USAGE = Media({"application/json": wire.Usage, "text/csv": str})
_TAR = Media({media.TAR: bytes, media.BYTES: bytes})
_ANY_TAR = Media({media.BYTES: bytes})  # nobody looks what it is called

_ORDER = Media({media.JSON_LINES: wire.ImageProgress, media.TEXT: str})
_FIGURES = Media({"text/plain": str, "application/openmetrics-text": str})
_DATABASE = Media({media.DATABASE: bytes, media.BYTES: bytes})

# fmt: off
ROUTES: tuple[Route, ...] = (
    Route("GET", "/v1", _READER, about.index, "getIndex",
          "What is served, and what of it is an extension", gives=wire.Index, ours=True),
    Route("GET", "/v1/openapi.json", _READER, about.openapi, "getOpenapi",
          "This description, as OpenAPI 3.1", gives=dict[str, Any], ours=True),
    Route("GET", "/v1/health", _READER, machine.health, "getHealth",
          "Readiness, with every dependency's state", gives=wire.Health, ours=True),
    Route("GET", "/v1/config", _READER, config.show, "getConfig",
          "The configuration in force, without secrets", gives=wire.ConfigShown, ours=True),
    Route("GET", "/v1/me", _READER, machine.me, "getMe",
          "Who the caller is taken for", gives=wire.Me),
    Route("GET", "/v1/capabilities/flavor", _READER, machine.list_flavors, "listFlavors",
          "The flavors", gives=list[wire.Flavor]),
    Route("GET", "/v1/capabilities/flavor/{id}", _READER, machine.get_flavor, "getFlavor",
          "A flavor", gives=wire.Flavor),
    Route("GET", "/v1/capabilities/notebook/editor", _READER, machine.list_editors, "listEditors",
          "The editors", gives=list[wire.Editor], reads=params.FRAMEWORK),
    Route("GET", "/v1/capabilities/notebook/editor/{id}", _READER, machine.get_editor, "getEditor",
          "An editor", gives=wire.Editor),
    Route("GET", "/v1/capabilities/notebook/framework", _READER, machine.list_frameworks, "listFrameworks",
          "The frameworks", gives=list[wire.Framework], reads=params.EDITOR),
    Route("GET", "/v1/capabilities/notebook/framework/{id}", _READER, machine.get_framework, "getFramework",
          "A framework", gives=wire.Framework),
    Route("GET", "/v1/capabilities/quota", _READER, machine.quota, "getQuota",
          "What the caller may hold", gives=list[wire.Quotas]),
    Route("GET", "/v1/gpu", _READER, machine.board, "listGpus",
          "The board: every GPU, its lease, its processes", gives=wire.GpuList, ours=True),
    Route("PUT", "/v1/gpu/{uuid}/drain", _ADMIN, machine.drain, "drainGpu",
          "Grant no new lease of a GPU", reads=params.DRAIN, ours=True, does="drain a GPU"),
    Route("PUT", "/v1/gpu/{uuid}/undrain", _ADMIN, machine.undrain, "undrainGpu",
          "Lease a drained GPU out again", ours=True),
    Route("PUT", "/v1/gpu/{uuid}/clear", _ADMIN, machine.clear, "clearGpu",
          "Take a GPU out of quarantine", refuses=(409,), ours=True),
    Route("PUT", "/v1/gpu/release", _ADMIN, machine.release, "releaseGpus",
          "Let go of the driver, so that it can be upgraded", ours=True),
    Route("PUT", "/v1/gpu/acquire", _ADMIN, machine.acquire, "acquireGpus",
          "Take the driver again", ours=True),
    Route("GET", "/v1/queue", _READER, machine.queue, "getQueue",
          "The waiting runs in their order", gives=wire.Queue, ours=True),
    Route("GET", "/v1/load", _READER, machine.load, "listLoads",
          "What the running notebooks take of CPUs and memory now", gives=wire.LoadList, ours=True),
    Route("GET", "/v1/event", _READER, streams.events, "listEvents",
          "What happened, by increasing id", gives=_EVENTS, reads=params.EVENTS, refuses=(404, 409), ours=True),
    Route("POST", "/v1/notebook", _MEMBER, notebooks.create, "createNotebook",
          "Create a notebook and start it", takes=wire.NotebookSpec, gives=wire.Notebook,
          reads=params.IDEMPOTENCY, refuses=(402, 409), tagged=True),
    Route("GET", "/v1/notebook", _READER, notebooks.list_all, "listNotebooks",
          "A page of one's own notebooks; an admin's of everybody's", gives=wire.NotebookList, reads=params.NOTEBOOKS),
    Route("POST", "/v1/notebook/command", _READER, notebooks.command, "formatNotebookCommand",
          "The command line that equals a spec", takes=wire.NotebookSpec, gives=wire.Command),
    Route("GET", "/v1/notebook/{id}", _READER, notebooks.get, "getNotebook",
          "A notebook", gives=wire.Notebook, tagged=True),
    Route("PUT", "/v1/notebook/{id}", _MEMBER, notebooks.update, "updateNotebook",
          "Change a notebook", takes=wire.NotebookPatch, reads=params.IF_MATCH, refuses=(402, 409, 412)),
    Route("DELETE", "/v1/notebook/{id}", _MEMBER, notebooks.delete, "deleteNotebook",
          "Delete a notebook with its workspace", reads=params.FORCE, refuses=(409,)),
    Route("PUT", "/v1/notebook/{id}/start", _MEMBER, notebooks.start, "startNotebook",
          "Start a notebook", reads=params.DISCARD, refuses=(402, 409)),
    Route("PUT", "/v1/notebook/{id}/stop", _MEMBER, notebooks.stop, "stopNotebook",
          "Stop a notebook", reads=params.NOW, refuses=(409,)),
    Route("PUT", "/v1/notebook/{id}/restart", _MEMBER, notebooks.restart, "restartNotebook",
          "Restart the container as it is", refuses=(409,), ours=True),
    Route("PUT", "/v1/notebook/{id}/extend", _MEMBER, notebooks.extend, "extendNotebook",
          "Move the deadline of a running notebook", takes=wire.ExtendRequest,
          gives=wire.Extended, refuses=(409,), ours=True),
    Route("PUT", "/v1/notebook/{id}/label", _MEMBER, notebooks.label, "labelNotebook",
          "Set or remove a label", takes=wire.LabelUpdate),
    Route("PUT", "/v1/notebook/{id}/rename", _MEMBER, notebooks.rename, "renameNotebook",
          "Give a notebook another name", takes=wire.Rename, refuses=(409,), ours=True),
    Route("GET", "/v1/notebook/{id}/log", _READER, streams.log, "getNotebookLog",
          "What the editor wrote", gives=_LOG, reads=params.LOG, ours=True),
    Route("GET", "/v1/notebook/{id}/exec", _MEMBER, streams.run_in_notebook, "execInNotebook",
          "Run a command, by a websocket", gives=UPGRADE, reads=params.EXEC, refuses=(409,)),
    Route("POST", "/v1/notebook/{id}/datasync", _MEMBER, transfers.sync, "syncNotebookData",
          "Transfer data now, in or out", takes=wire.DataSyncRequest, gives=wire.DataSync, refuses=(409,)),
    Route("GET", "/v1/notebook/{id}/backup", _READER, transfers.list_backups, "listNotebookBackups",
          "A page of the workspace's snapshots", gives=wire.NotebookBackupList, reads=params.BACKUPS),
    Route("POST", "/v1/notebook/{id}/backup/check", _MEMBER, transfers.check_backups, "checkNotebookBackups",
          "Read all of a notebook's snapshots, and see whether they are sound", gives=wire.BackupCheck, ours=True),
    Route("GET", "/v1/notebook/{id}/backup/{bid}", _READER, transfers.get_backup, "getNotebookBackup",
          "A snapshot", gives=wire.NotebookBackup),
    Route("POST", "/v1/notebook/{id}/backup/{bid}/fork", _MEMBER, transfers.fork, "forkNotebookBackup",
          "A new notebook that begins with a snapshot", gives=wire.Notebook, refuses=(402, 409), tagged=True,
          does="fork a snapshot"),
    Route("GET", "/v1/notebook/{id}/archive", _MEMBER, archives.read, "readNotebookFiles",
          "Files out of the workspace or a copied volume, as a tar stream",
          gives=_TAR, reads=params.ARCHIVE, refuses=(409,), ours=True, does="copy files out of a notebook"),
    Route("PUT", "/v1/notebook/{id}/archive", _MEMBER, archives.write, "writeNotebookFiles",
          "Files into the workspace, as a tar stream",
          takes=_ANY_TAR, reads=params.ARCHIVE_INTO, refuses=(409,), ours=True, does="copy files into a notebook"),
    Route("DELETE", "/v1/notebook/{id}/archive", _MEMBER, archives.remove, "removeNotebookFile",
          "Remove a file of the workspace, or a folder with all that is in it",
          reads=params.ARCHIVE_WITHOUT, refuses=(409,), ours=True),
    Route("GET", "/v1/notebook/{id}/access", _MEMBER, notebooks.access, "getNotebookAccess",
          "The URL with its token, for the owner", gives=wire.Access, refuses=(409,), ours=True,
          does="open a notebook"),
    Route("POST", "/v1/notebook/{id}/access/renew", _MEMBER, notebooks.renew_access, "renewNotebookAccess",
          "Another token, and the end of every browser's session; for the owner", gives=wire.Access, ours=True,
          does="renew the access to a notebook"),
    Route("GET", "/v1/notebook/{id}/why", _READER, notebooks.why, "explainNotebook",
          "Why it is as it is, and what will happen", gives=wire.Why, ours=True),
    Route("GET", "/v1/notebook/{id}/timings", _READER, images.start_timings, "getNotebookTimings",
          "Where the time of the latest start went", gives=wire.Timings, ours=True),
    Route("GET", "/v1/notebook/{id}/receipt", _READER, usage.receipt, "getNotebookReceipt",
          "The bill of a run", gives=wire.Receipt, reads=params.RECEIPT, ours=True),
    Route("GET", "/v1/usage", _READER, usage.report, "getUsage",
          "What was used, and what it costs", gives=_USAGE, reads=params.USAGE, ours=True),
    Route("GET", "/v1/usage/disk", _READER, usage.disk, "getDiskUsage",
          "How full one's own workspaces are, the fullest first; an admin's are everybody's", gives=wire.DiskUsage,
          ours=True, does="see who fills the disk"),
    Route("GET", "/v1/datastore", _READER, datastores.list_all, "listDatastores",
          "The datastores that the caller may read", gives=wire.DatastoreList, ours=True),
    Route("GET", "/v1/datastore/{alias}/object", _READER, datastores.list_objects, "listDatastoreObjects",
          "What lies in a datastore, one level deep", gives=wire.ObjectList, reads=params.OBJECTS, ours=True),
    Route("GET", "/v1/token", _PERSON, tokens.list_all, "listTokens",
          "One's own app tokens; an admin's are everybody's", gives=wire.TokenList, reads=params.TOKENS,
          does="list app tokens"),
    Route("POST", "/v1/token", _PERSON, tokens.create, "createToken",
          "Make an app token; its value is shown once", takes=wire.NewToken, gives=wire.Token, refuses=(409,)),
    Route("GET", "/v1/token/{id}", _PERSON, tokens.get, "getToken",
          "An app token", gives=wire.Token, does="show an app token"),
    Route("DELETE", "/v1/token/{id}", _PERSON, tokens.delete, "deleteToken",
          "End an app token"),
    Route("POST", "/v1/token/{id}/renew", _PERSON, tokens.renew, "renewToken",
          "Give an app token another value; the one before is worth nothing", gives=wire.Token),
    Route("POST", "/v1/account/chown", _ADMIN, accounts.chown, "transferNotebooks",
          "Give the notebooks of one owner to another", takes=wire.Chown, gives=wire.Handover,
          refuses=(404, 409), ours=True, does="give notebooks to another account"),
    Route("GET", "/v1/image", _READER, images.list_all, "listImages",
          "The images, who uses them, and what can be built", gives=wire.ImageList, ours=True),
    Route("POST", "/v1/image", _ADMIN, images.order, "orderImage",
          "Pull, build or prepare an image", takes=wire.ImageOrder, gives=_ORDER, refuses=(404, 409), ours=True,
          does="pull, build or prepare an image"),
    Route("DELETE", "/v1/image", _ADMIN, images.remove, "removeImage",
          "Remove an image that nothing runs on", reads=params.IMAGE, refuses=(404, 409), ours=True),
    Route("GET", "/v1/backup", _ADMIN, backup.backup, "backUpDatabase",
          "A consistent copy of the database", gives=_DATABASE, ours=True, does="copy the database"),
    Route("GET", "/metrics", _READER, metrics.expose, "getMetrics",
          "The machine's figures, as Prometheus reads them", gives=_FIGURES, ours=True),
)
# fmt: on


def make_app(services: Services, peers: PeerPolicy, *, bearers_only: bool = False) -> web.Application:
    """The application that serves the Unix socket; with ``bearers_only`` the gateway's, where only a token makes an
    actor."""
    watch = metrics.Stopwatch(services.telemetry, services.clock)
    app = web.Application(middlewares=[watch.begin, map_errors], client_max_size=MAX_BODY)
    app[about.SERVED] = about.Served(ROUTES, services.version)
    app[MEMORY] = Memory(services.listing.generation, services.clock)
    app[TURNS] = Turns(services.clock)
    app.on_response_prepare.extend((_never_stored, watch.stop))
    callers = Callers(peers, services, bearers_only=bearers_only)
    for path, routes in _by_path().items():
        handlers = {each.method: _guarded(each, services, callers) for each in routes}
        if any(each.has_head for each in routes):
            handlers["HEAD"] = handlers["GET"]
        handlers["OPTIONS"] = _naming([*handlers, "OPTIONS"], callers)
        for spelling in (path, f"{path}/") if path != "/v1" else (path,):  # clients make `/v1/` of an id `..`
            for method, handler in handlers.items():
                app.router.add_route(method, spelling, handler)
    return app


def _by_path() -> dict[str, list[Route]]:
    found: dict[str, list[Route]] = {}
    for route in ROUTES:
        found.setdefault(route.path, []).append(route)
    return found


async def _never_stored(_: web.Request, response: web.StreamResponse) -> None:
    """No answer may outlive the moment: all are somebody's, and all change."""
    response.headers.setdefault("Cache-Control", "no-store")


def _guarded(
    route: Route, services: Services, callers: Callers
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    deed = route.deed

    async def answer(request: web.Request) -> web.StreamResponse:
        refuse_browsers(request)
        actor = await callers.identify(request)
        require(route.access, actor, deed)
        with services.tokens.used(actor.token, lambda: _cut(request)):
            return await route.handler(Call(request=request, actor=actor, services=services))

    return answer


def _naming(methods: Sequence[str], callers: Callers) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """What answers OPTIONS: the methods of a path, for whoever may ask anything."""
    allowed = ", ".join(sorted(methods))

    async def answer(request: web.Request) -> web.StreamResponse:
        refuse_browsers(request)
        await callers.identify(request)
        return web.Response(status=204, headers={"Allow": allowed})

    return answer


def _cut(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
