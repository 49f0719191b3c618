# SPDX-License-Identifier: Apache-2.0
"""A synchronous client of notebookd: HTTP over the Unix socket, with nothing but the standard library and msgspec.

For scripts and for ``notebookctl``::

    from notebookd.client import Client

    client = Client("/run/notebookd/api.sock")
    for notebook in client.list_notebooks().value.items:
        print(notebook.spec.name, notebook.status.state)

Every call that answers something returns a :class:`Reply`: ``reply.body`` is exactly what the daemon sent,
``reply.value`` the same as a :mod:`notebookd.wire` shape. Every call may raise :class:`Unreachable`, :class:`Refused`
or :class:`BadAnswer`, all of them :class:`ClientError`. A ``Client`` holds no connection and may be shared by threads.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from notebookd import wire

__all__ = ["DEFAULT_SOCKET", "BadAnswer", "Client", "ClientError", "Refused", "Reply", "Unreachable", "unreachable"]

T_co = TypeVar("T_co", covariant=True)
Query = Mapping[str, Any]

DEFAULT_SOCKET = "/run/notebookd/api.sock"


class ClientError(Exception):
    """Root of what a client raises; ``hint`` says what to do about it."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Unreachable(ClientError):
    """The daemon did not answer: what was asked may or may not have happened."""


class BadAnswer(ClientError):
    """What answered does not speak like notebookd."""


class Refused(ClientError):
    """The daemon answered no. ``code`` is stable, ``details`` its data (``details["faults"]`` for a bad body)."""

    def __init__(
        self, *, status: int, code: str, message: str, hint: str | None = None, details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.code = code
        self.details = dict(details or {})


@dataclass(frozen=True, slots=True)
class Reply(Generic[T_co]):
    """An answer: its bytes, and on demand its value."""

    body: bytes
    shape: Any = field(repr=False)

    @property
    def value(self) -> T_co:
        """The answer as a wire shape. :class:`BadAnswer` when it has another one."""
        try:
            value: T_co = msgspec.json.decode(self.body, type=self.shape)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise BadAnswer(
                f"cannot understand the answer: {error}", hint="do the versions of notebookctl and notebookd agree?"
            ) from error
        return value


class _Connection(http.client.HTTPConnection):
    """An HTTP connection to a socket in the file system."""

    def __init__(self, path: str, timeout_s: float | None) -> None:
        super().__init__("localhost")
        self._path = path
        self._timeout_s = timeout_s

    def connect(self) -> None:
        """Connect to the path instead of to a host."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self._timeout_s)
        self.sock.connect(self._path)


class Client:
    """The daemon behind one socket. ``token`` makes its bearer the actor instead of the calling account."""

    def __init__(self, path: str = DEFAULT_SOCKET, *, token: str | None = None, timeout_s: float = 60.0) -> None:
        self.path = path
        self._token = token
        self._timeout_s = timeout_s

    def with_timeout(self, timeout_s: float) -> Client:
        """The same, with another patience for each answer."""
        return Client(self.path, token=self._token, timeout_s=timeout_s)

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
    ) -> Reply[wire.NotebookList]:
        """One page of one's own notebooks (an admin's list has everybody's), filtered."""
        query = {
            "page": page,
            "size": size,
            "statusState": list(states),
            "userName": user,
            "labelSelector": [f"{name}={value}" for name, value in (labels or {}).items()],
        }
        return self._get("/v1/notebook", wire.NotebookList, query)

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
        """Start a notebook; ``discard`` gives up what could not be pushed (from SYNC_FAILED)."""
        self._send("PUT", _notebook(notebook, "/start"), {"discard": True} if discard else {})

    def stop_notebook(self, notebook: str) -> None:
        """Stop a notebook."""
        self._send("PUT", _notebook(notebook, "/stop"))

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

    def access(self, notebook: str) -> Reply[wire.Access]:
        """The URL with its token; for the owner."""
        return self._get(_notebook(notebook, "/access"), wire.Access)

    def why(self, notebook: str) -> Reply[wire.Why]:
        """Why a notebook is as it is."""
        return self._get(_notebook(notebook, "/why"), wire.Why)

    def command(self, spec: wire.NotebookSpec) -> Reply[wire.Command]:
        """The command line that equals a spec."""
        return Reply(self._send("POST", "/v1/notebook/command", body=wire.encode(spec)), wire.Command)

    def log(self, notebook: str, *, since: str | None = None, tail: int | None = None) -> Reply[wire.LogPage]:
        """What the editor wrote; ``since`` an RFC 3339 time, ``tail`` at most so many of the last lines."""
        return self._get(_notebook(notebook, "/log"), wire.LogPage, {"since": since, "tail": tail})

    def follow_log(
        self, notebook: str, *, since: str | None = None, tail: int | None = None
    ) -> Generator[Reply[wire.LogLine], None, None]:
        """The log line by line, as it is written, until the run ends. Close the iterator to leave earlier."""
        query = {"since": since, "tail": tail, "follow": True}
        return self._lines(_notebook(notebook, "/log"), query, wire.LogLine)

    def exec_target(self, notebook: str, command: Sequence[str], *, stdin: bool, tty: bool) -> str:
        """The path and query to open a websocket at, on this client's socket, to run a command in the notebook."""
        query = {"command": list(command), "stdin": stdin, "stdout": True, "stderr": True, "tty": tty}
        return _target(_notebook(notebook, "/exec"), query)

    def exec_refusal(self, target: str) -> ClientError | None:
        """Why a websocket at that target is refused: a websocket's handshake does not tell. None when it is not."""
        try:
            self._send("GET", target)
        except ClientError as error:
            return error
        return None

    # The machine

    def list_flavors(self) -> Reply[list[wire.Flavor]]:
        """The flavors."""
        return self._get("/v1/capabilities/flavor", list[wire.Flavor])

    def get_flavor(self, flavor: str) -> Reply[wire.Flavor]:
        """A flavor by its id."""
        return self._get(f"/v1/capabilities/flavor/{_segment(flavor)}", wire.Flavor)

    def list_editors(self, *, compatible_with_framework: str | None = None) -> Reply[list[wire.Editor]]:
        """The editors."""
        query = {"compatibleWithFramework": compatible_with_framework}
        return self._get("/v1/capabilities/notebook/editor", list[wire.Editor], query)

    def get_editor(self, editor: str) -> Reply[wire.Editor]:
        """An editor by its id."""
        return self._get(f"/v1/capabilities/notebook/editor/{_segment(editor)}", wire.Editor)

    def list_frameworks(self, *, compatible_with_editor: str | None = None) -> Reply[list[wire.Framework]]:
        """The frameworks."""
        query = {"compatibleWithEditor": compatible_with_editor}
        return self._get("/v1/capabilities/notebook/framework", list[wire.Framework], query)

    def get_framework(self, framework: str) -> Reply[wire.Framework]:
        """A framework by its id."""
        return self._get(f"/v1/capabilities/notebook/framework/{_segment(framework)}", wire.Framework)

    def list_quotas(self) -> Reply[list[wire.Quotas]]:
        """What the caller may hold."""
        return self._get("/v1/capabilities/quota", list[wire.Quotas])

    def me(self) -> Reply[wire.Me]:
        """Who the daemon takes the caller for."""
        return self._get("/v1/me", wire.Me)

    def health(self) -> Reply[wire.Health]:
        """Readiness. A daemon that is not ready answers too, with status 503, and that is no refusal here."""
        return self._get("/v1/health", wire.Health, also=(503,))

    def list_gpus(self) -> Reply[wire.GpuList]:
        """The board."""
        return self._get("/v1/gpu", wire.GpuList)

    def drain_gpu(self, uuid: str) -> None:
        """Grant no new lease of a GPU; a running one goes on. For admins, as the four below."""
        self._send("PUT", _gpu(uuid, "/drain"))

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

    def events(
        self, *, after: int | None = None, notebook: str | None = None
    ) -> Generator[Reply[wire.Event], None, None]:
        """What happened, oldest first, after the event of that id."""
        return self._lines("/v1/event", {"after": after, "notebook": notebook}, wire.Event)

    def follow_events(
        self, *, after: int | None = None, notebook: str | None = None
    ) -> Generator[Reply[wire.Event], None, None]:
        """What happened and happens. Ends when the daemon goes or finds the reader slow: resume ``after`` the last."""
        return self._lines("/v1/event", {"after": after, "notebook": notebook, "follow": True}, wire.Event)

    # The road

    def headers(self) -> dict[str, str]:
        """The headers that every request bears."""
        return {} if self._token is None else {"Authorization": f"Bearer {self._token}"}

    def _get(self, path: str, shape: Any, query: Query | None = None, *, also: tuple[int, ...] = ()) -> Reply[Any]:
        return Reply(self._send("GET", path, query, also=also), shape)

    def _send(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        also: tuple[int, ...] = (),
    ) -> bytes:
        with self._response(method, _target(path, query), body, headers or {}, self._timeout_s, also) as response:
            return response.read()

    def _lines(self, path: str, query: Query, shape: Any) -> Generator[Reply[Any], None, None]:
        with self._response("GET", _target(path, query), None, {}, None) as response:
            while line := response.readline():
                if line.strip():
                    yield Reply(line.rstrip(b"\r\n"), shape)

    @contextlib.contextmanager
    def _response(
        self,
        method: str,
        target: str,
        body: bytes | None,
        headers: Mapping[str, str],
        timeout_s: float | None,
        also: tuple[int, ...] = (),
    ) -> Iterator[http.client.HTTPResponse]:
        connection = _Connection(self.path, timeout_s)
        kind = {} if body is None else {"Content-Type": "application/json"}
        try:
            connection.request(method, target, body, {**self.headers(), **kind, **headers})
            response = connection.getresponse()
            if response.status // 100 != 2 and response.status not in also:
                raise _refusal(response.status, response.read())
            yield response
        except http.client.HTTPException as error:
            raise Unreachable(
                f"the connection to notebookd at {self.path} broke: {error or type(error).__name__}",
                hint="look at its log: journalctl -u notebookd",
            ) from error
        except OSError as error:
            raise unreachable(self.path, error) from error
        finally:
            connection.close()


def _segment(text: str) -> str:
    return quote(text, safe="")


def _notebook(notebook: str, below: str = "") -> str:
    return f"/v1/notebook/{_segment(notebook)}{below}"


def _gpu(uuid: str, below: str) -> str:
    return f"/v1/gpu/{_segment(uuid)}{below}"


def _target(path: str, query: Query | None) -> str:
    """The path with what of the query is not None; truth values are written as JSON does."""
    words = {"True": "true", "False": "false"}
    pairs = [
        (name, words.get(str(each), str(each)) if isinstance(each, bool) else str(each))
        for name, value in (query or {}).items()
        for each in (value if isinstance(value, list) else [value])
        if each is not None
    ]
    return f"{path}?{urlencode(pairs)}" if pairs else path


def unreachable(path: str, error: OSError) -> Unreachable:
    """What an error of the operating system means to somebody who wanted to speak to that socket."""
    match error:
        case FileNotFoundError():
            hint = "is notebookd running, and is the socket's path right (--socket, NOTEBOOKD_SOCKET)?"
        case PermissionError():
            hint = "are you in the group notebookd? a new membership counts from the next login on"
        case ConnectionRefusedError():
            hint = "nothing listens there: systemctl status notebookd"
        case _:
            hint = "notebookctl doctor looks into it"
    return Unreachable(f"cannot reach notebookd at {path}: {error.strerror or error}", hint=hint)


def _refusal(status: int, body: bytes) -> ClientError:
    try:
        refusal = msgspec.json.decode(body, type=wire.Refusal)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        text = body[:200].decode(errors="replace")
        return BadAnswer(
            f"the answer, status {status}, is not notebookd's: {text!r}", hint="is the socket the right one?"
        )
    return Refused(
        status=status,
        code=refusal.code,
        message=refusal.message,
        hint=refusal.hint or None,
        details=refusal.details or None,
    )
