# SPDX-License-Identifier: Apache-2.0
"""Strict decoding of requests that names every fault, not only the first.

The quick road is one pass of msgspec. Only a body that fails there is walked again, shape by shape, to collect what is
wrong with it and to save what is right.
"""

from __future__ import annotations

import codecs
import difflib
import functools
import operator
import re
import types
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import UNSET, UnsetType

__all__ = ["DecodeFaults", "Fault", "decode"]

T = TypeVar("T", bound=msgspec.Struct)

MOST_FAULTS = 1000
"""Of a body with more nothing more is looked at: to name them all would keep everybody else waiting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is wrong with a body, at a JSON path such as ``$.volumes[0].mountPath``."""

    path: str
    message: str


class DecodeFaults(Exception):
    """A body does not fit its shape.

    ``partial`` is what could be read, or None when nothing could, so that checks of meaning can add their faults to
    the same answer. In it every faulty or missing field, also a required one, and every faulty list item is ``UNSET``
    (items keep their index); faulty map entries and unknown fields are dropped.
    """

    def __init__(self, faults: list[Fault], partial: Any = None) -> None:
        super().__init__("; ".join(f"{fault.path}: {fault.message}" for fault in faults))
        self.faults = faults
        self.partial = partial


def decode(shape: type[T], raw: bytes) -> T:
    """Decode a JSON body, or raise :class:`DecodeFaults` with everything that is wrong with it. A byte-order mark
    before it is passed over, as RFC 8259 allows."""
    raw = raw.removeprefix(codecs.BOM_UTF8)
    try:
        return msgspec.json.decode(raw, type=shape)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    faults = _Faults()
    try:
        value = _walk(shape, _parse(raw), "$", faults)
    except _TooMany:
        value = UNSET
    if not faults:  # the two roads disagree: an answer without a reason would be worse than a vague one
        faults.append(Fault(path="$", message="The body does not fit the shape"))
    raise DecodeFaults(faults, None if value is UNSET else value)


class _TooMany(Exception):
    """There are more faults than anybody reads."""


class _Faults(list[Fault]):
    """The faults so far."""

    def append(self, fault: Fault) -> None:
        """Note one; raises _TooMany behind the last that is named."""
        if len(self) >= MOST_FAULTS:
            super().append(Fault(path="$", message=f"More than {MOST_FAULTS} faults: only these are named"))
            raise _TooMany
        super().append(fault)


def _parse(raw: bytes) -> Any:
    try:
        raw.decode()
        return msgspec.json.decode(raw)
    except UnicodeDecodeError as error:
        message = f"The body is not valid UTF-8 (byte {error.start})"
    except RecursionError:
        message = "The body is nested too deeply"
    except msgspec.MsgspecError as error:
        message = (
            f"The body is not valid JSON: {error}" if raw.strip() else "The body is empty: a JSON object is needed"
        )
    raise DecodeFaults([Fault(path="$", message=message)]) from None


def _walk(shape: Any, value: Any, path: str, faults: list[Fault]) -> Any:
    """Read what fits; note what does not and stand ``UNSET`` in its place."""
    shape, nullable = _bare(shape)
    if value is None and nullable:
        return None
    if isinstance(value, dict) and get_origin(shape) in (Union, types.UnionType):
        shape = next((each for each in get_args(shape) if _is_struct(each)), shape)
    if _is_struct(shape) and isinstance(value, dict):
        return _walk_struct(shape, value, path, faults)
    plain = get_args(shape)[0] if get_origin(shape) is Annotated else shape
    match get_origin(plain), value:
        case (origin, list()) if origin is list:
            (item,) = get_args(plain)
            return [_walk(item, each, f"{path}[{index}]", faults) for index, each in enumerate(value)]
        case (origin, dict()) if origin is dict:
            _, item = get_args(plain)
            read = {key: _walk(item, each, _below(path, key), faults) for key, each in value.items()}
            return {key: each for key, each in read.items() if each is not UNSET}
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        faults.append(Fault(path=path, message=_sentence(error)))
        return UNSET


def _is_struct(shape: Any) -> bool:
    return isinstance(shape, type) and issubclass(shape, msgspec.Struct)


def _walk_struct(shape: type[msgspec.Struct], value: dict[str, Any], path: str, faults: list[Fault]) -> msgspec.Struct:
    fields = {field.encode_name: field for field in msgspec.structs.fields(shape)}
    hints = _hints(shape)
    read: dict[str, Any] = {}
    for key, each in value.items():
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1)
            faults.append(
                Fault(
                    path=_below(path, key), message="Unknown field" + (f", did you mean `{near[0]}`?" if near else "")
                )
            )
            continue
        read[fields[key].name] = _walk(hints[fields[key].name], each, _below(path, key), faults)
    for key, field in fields.items():
        if field.name not in read and field.required:
            faults.append(Fault(path=_below(path, key), message="Missing required field"))
            read[field.name] = UNSET
    return shape(**read)


@functools.cache
def _hints(shape: type[msgspec.Struct]) -> dict[str, Any]:
    return get_type_hints(shape, include_extras=True)


def _bare(shape: Any) -> tuple[Any, bool]:
    """The shape without ``None`` and ``UNSET``, and whether ``None`` was among its alternatives."""
    if get_origin(shape) not in (Union, types.UnionType):
        return shape, False
    alternatives = get_args(shape)
    kept = [each for each in alternatives if each not in (types.NoneType, UnsetType)]
    return functools.reduce(operator.or_, kept), types.NoneType in alternatives


def _below(path: str, key: str) -> str:
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key):
        return f"{path}.{key}"
    return f"{path}[{msgspec.json.encode(key).decode()}]"


def _sentence(error: msgspec.ValidationError) -> str:
    return str(error).partition(" - at ")[0]
