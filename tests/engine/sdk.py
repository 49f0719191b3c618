# SPDX-License-Identifier: Apache-2.0
"""The public ``ovhai`` package, unmodified, as a client of a running notebookd; and the table of its calls."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.resources import files
from typing import Any

import httpx
import ovhai

PARTS = ("notebook", "capabilities", "token", "me")
NOT_IN_SCOPE = ("app_image", "job_image", "preset", "preset_id")


def calls() -> Mapping[str, str]:
    """Each call that is in scope, with its verb and path."""
    found = {}
    for part in PARTS:
        for file in sorted(files("ovhai").joinpath("api", part).iterdir(), key=lambda each: each.name):
            text = file.read_text(encoding="utf-8") if file.name.endswith(".py") else ""
            verb, path = re.search(r'"method": "(\w+)"', text), re.search(r'"url": f?"([^"]+)"', text)
            name = file.name.removesuffix(".py")
            if verb and path and not name.endswith(NOT_IN_SCOPE):
                found[name] = f"{verb[1].upper()} {path[1]}"
    return found


@dataclass(frozen=True, slots=True)
class Sdk:
    """A client as its users make it."""

    client: ovhai.Client

    @classmethod
    def at(cls, socket: str) -> Sdk:
        """On a Unix socket."""
        transport = httpx.HTTPTransport(uds=socket)
        return cls(
            ovhai.Client(
                base_url="http://localhost",
                httpx_args={"transport": transport},
                timeout=httpx.Timeout(30),
                raise_on_unexpected_status=True,
            )
        )

    def ask(self, call: str, *args: Any, **kwargs: Any) -> Any:
        """The answer: its status and headers, and what it was parsed to."""
        part = next(part for part in PARTS if (files("ovhai").joinpath("api", part) / f"{call}.py").is_file())
        return import_module(f"ovhai.api.{part}.{call}").sync_detailed(*args, client=self.client, **kwargs)

    def get(self, call: str, *args: Any, **kwargs: Any) -> Any:
        """What a call gives that must succeed. It survives its own way to a dict and back, and nothing is lost."""
        answer = self.ask(call, *args, **kwargs)
        assert answer.status_code == 200, answer.content
        for value in answer.parsed if isinstance(answer.parsed, list) else [answer.parsed]:
            assert type(value).from_dict(value.to_dict()) == value
        return answer.parsed

    def do(self, call: str, *args: Any, **kwargs: Any) -> None:
        """A call that must succeed and gives nothing."""
        answer = self.ask(call, *args, **kwargs)
        assert (answer.status_code, answer.content) == (204, b"")
