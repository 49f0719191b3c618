# SPDX-License-Identifier: Apache-2.0
"""A synchronous client of notebookd: HTTP over its socket, with nothing but the standard library and msgspec.

For scripts and for ``notebookctl``::

    from notebookd import wire
    from notebookd.client import Client, NotFound

    client = Client()
    env = wire.NotebookEnv(editor_id="jupyterlab", framework_id="conda")
    notebook = client.create_notebook(wire.NotebookSpec(env=env), idempotency_key="monday's").value
    for each in client.each_notebook(states=["RUNNING"]):
        print(each.spec.name, each.status.url)
    try:
        client.stop_notebook(notebook.id)
    except NotFound:
        print("somebody deleted it")

**Where.** ``Client()`` speaks to the socket that ``NOTEBOOKD_SOCKET`` names, or to ``/run/notebookd/api.sock``; from
another machine, to ``http://localhost:8421`` through a tunnel, or to a gateway behind ``https``. With a ``token``, or
``NOTEBOOKD_TOKEN``, an app token's owner is the actor instead of the calling account; over HTTP there is no other way.

**Answers.** A call that answers something returns a :class:`Reply`: ``reply.body`` is exactly what the daemon sent,
``reply.value`` the same as a :mod:`notebookd.wire` shape. There a field that is absent is ``wire.UNSET``, which is
false. What a call takes is a shape too, and ``wire.UNSET`` leaves a field out.

**Errors.** All are a :class:`ClientError`, whose ``message`` and ``hint`` are for people:

* :class:`Unreachable`: no answer came. Whether it happened is not known: look, or give an idempotency key with a
  create, which can be repeated then.
* :class:`Refused`: the daemon said no, and nothing was changed. Each ``code`` has its class: :class:`InvalidRequest`
  (``faults`` by JSON path), :class:`Unauthenticated`, :class:`QuotaExceeded`, :class:`Forbidden`, :class:`NotFound`,
  :class:`Conflict`, :class:`PreconditionFailed`, :class:`TooLarge`, :class:`InternalError`, and :class:`Unavailable`
  with :class:`EngineUnavailable`, :class:`GpusUnavailable`, :class:`StoreUnavailable`.
* :class:`BadAnswer`: what answered is not notebookd, or a newer one.

**Following.** ``follow_log`` and ``follow_events`` are generators that end when there is nothing more to come, or when
the daemon goes: begin again ``after`` the last event. Leave the loop, or close the generator, to hang up.

A ``Client`` holds no connection and may be shared by threads. Commands in a notebook need a websocket, which the
standard library has not: ``exec_target`` tells where to open one.
"""

from notebookd.client.address import DEFAULT_SOCKET, Address, unreachable
from notebookd.client.calls import Client
from notebookd.client.errors import (
    BadAnswer,
    ClientError,
    Conflict,
    EngineUnavailable,
    Forbidden,
    GpusUnavailable,
    InternalError,
    InvalidRequest,
    NotFound,
    PreconditionFailed,
    QuotaExceeded,
    Refused,
    StoreUnavailable,
    TooLarge,
    Unauthenticated,
    Unavailable,
    Unreachable,
)
from notebookd.client.link import Reply

__all__ = [
    "DEFAULT_SOCKET",
    "Address",
    "BadAnswer",
    "Client",
    "ClientError",
    "Conflict",
    "EngineUnavailable",
    "Forbidden",
    "GpusUnavailable",
    "InternalError",
    "InvalidRequest",
    "NotFound",
    "PreconditionFailed",
    "QuotaExceeded",
    "Refused",
    "Reply",
    "StoreUnavailable",
    "TooLarge",
    "Unauthenticated",
    "Unavailable",
    "Unreachable",
    "unreachable",
]
