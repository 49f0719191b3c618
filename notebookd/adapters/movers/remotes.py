# SPDX-License-Identifier: Apache-2.0
"""What of the administrator's rclone configuration a mover gets to see: one remote, and what that one is made of.

A remote may stand on others (crypt, alias, union, ...) and may name files (keys, certificates). Those sections come
along, and so do those files, with the path that they have inside.
"""

from __future__ import annotations

import configparser
import io
from collections.abc import Iterator, Mapping
from pathlib import Path

from notebookd.errors import VolumeFault

CONFIG_FILE = "rclone.conf"
SECRETS = "/secrets"
_LIMIT = 1024 * 1024
_STANDS_ON = ("remote", "upstreams", "remotes")
_NAMES_A_FILE = ("client_cert", "client_key", "ca_cert")
_ENCRYPTED = "RCLONE_ENCRYPT_V"


def cut_remote(config: Path, remote: str) -> dict[str, bytes]:
    """The files of a mover's ``/secrets`` for ``remote`` of the rclone configuration ``config``. Raises VolumeFault."""
    parser = _parse(config, _read(config, f"cannot use the remote {remote}"))
    if not parser.has_section(remote):
        raise _invalid(f"cannot use the remote {remote}: there is none of that name in {config}")
    cut, files = _parser(), dict[str, bytes]()
    for name in _needed(parser, remote):
        options = dict(parser.items(name))
        if options.get("type") == "local" or options.get("remote", "").startswith("/"):
            hint = 'a folder of this machine is a datastore of type "directory"'
            raise _invalid(f"cannot use the remote {remote}: it is a folder of this machine", hint)
        for key, value in options.items():
            if (key.endswith("_file") or key in _NAMES_A_FILE) and value.startswith("/"):
                known = f"file-{len(files)}"
                files[known] = _read(Path(value), f"cannot use the remote {remote}")
                options[key] = f"{SECRETS}/{known}"
        cut[name] = options
    text = io.StringIO()
    cut.write(text)
    return {CONFIG_FILE: text.getvalue().encode(), **files}


def _parser() -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(
        delimiters=("=",), strict=False, default_section="\0", empty_lines_in_values=False
    )
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    return parser


def _parse(config: Path, text: bytes) -> configparser.RawConfigParser:
    parser = _parser()
    try:
        decoded = text.decode()
        if _ENCRYPTED in decoded:
            raise _invalid(f"cannot use {config}: it is encrypted", "give notebookd a configuration of its own")
        parser.read_string(decoded)
    except (configparser.Error, UnicodeDecodeError) as fault:  # what they say may quote a secret
        raise _invalid(f"cannot use {config}: it is no configuration of rclone") from fault
    return parser


def _needed(parser: configparser.RawConfigParser, remote: str) -> Iterator[str]:
    """``remote`` and the sections that it stands on, directly or not."""
    seen, waiting = {remote}, [remote]
    while waiting:
        name = waiting.pop()
        yield name
        for other in _mentioned(dict(parser.items(name))):
            if other not in seen and parser.has_section(other):
                seen.add(other)
                waiting.append(other)


def _mentioned(options: Mapping[str, str]) -> Iterator[str]:
    for key in _STANDS_ON:
        value = options.get(key, "")
        yield value.partition(":")[0]
        for word in value.split():
            place = word.strip("\"'")
            yield place.partition(":")[0]
            yield place.partition("=")[2].partition(":")[0]  # combine: folder=remote:path


def _read(file: Path, action: str) -> bytes:
    try:
        with file.open("rb") as source:
            return source.read(_LIMIT)
    except PermissionError as fault:
        hint = f"chown root:notebookd-svc {file} && chmod 0640 {file}"
        raise VolumeFault(f"{action}: {file} may not be read", info_code="DATASYNC_ACCESS_DENIED", hint=hint) from fault
    except OSError as fault:
        raise _invalid(f"{action}: {file}: {fault.strerror}") from fault


def _invalid(message: str, hint: str | None = None) -> VolumeFault:
    return VolumeFault(message, info_code="DATASYNC_INVALID_SOURCE", hint=hint)
