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

from notebookd.client.calls import Client
from notebookd.client.link import (
    DEFAULT_SOCKET,
    BadAnswer,
    ClientError,
    Refused,
    Reply,
    Unreachable,
    unreachable,
)

__all__ = ["DEFAULT_SOCKET", "BadAnswer", "Client", "ClientError", "Refused", "Reply", "Unreachable", "unreachable"]
