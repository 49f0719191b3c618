# SPDX-License-Identifier: Apache-2.0
"""The errors a caller may meet.

Each class has a stable kebab-case ``code`` that clients may branch on; what it becomes on the wire (an HTTP
status) is decided in one place, :mod:`notebookd.api.errors`. Messages read "cannot <verb> <object>: <cause>".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class NotebookdError(Exception):
    """Root of everything notebookd raises on purpose.

    ``details`` is JSON-serialisable data beside the message; ``hint`` says what to do about it.
    """

    code: ClassVar[str] = "internal-error"

    def __init__(self, message: str, *, hint: str | None = None, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details: dict[str, Any] = dict(details or {})


class InvalidRequest(NotebookdError):
    """The request itself is wrong; ``details["faults"]`` is a list of ``{"path", "message"}``."""

    code = "invalid-request"


class Unauthenticated(NotebookdError):
    """No actor could be made of the caller."""

    code = "unauthenticated"


class QuotaExceeded(NotebookdError):
    """The owner's quota does not allow it."""

    code = "quota-exceeded"


class Forbidden(NotebookdError):
    """The actor may not do this."""

    code = "forbidden"


class NotFound(NotebookdError):
    """There is no such thing, or it is not the caller's to know."""

    code = "not-found"


class Conflict(NotebookdError):
    """The thing's present state does not allow it."""

    code = "conflict"


class PreconditionFailed(NotebookdError):
    """The caller's ``If-Match`` names another version."""

    code = "precondition-failed"


class TooLarge(NotebookdError):
    """The request body is over its bound."""

    code = "too-large"


class ConfigError(NotebookdError):
    """The configuration cannot be used; the message lists every problem with file, key and hint."""

    code = "invalid-configuration"


class StoreUnavailable(NotebookdError):
    """The database cannot be read or written now."""

    code = "store-unavailable"


class RestoreRefused(NotebookdError):
    """A file is not fit to take the database's place."""

    code = "restore-refused"


class DirectoryUnavailable(NotebookdError):
    """The machine's accounts cannot be looked up now."""

    code = "directory-unavailable"


class GpusUnavailable(NotebookdError):
    """The GPU driver cannot be asked now."""

    code = "gpus-unavailable"


class WorkspaceFault(NotebookdError):
    """A notebook's files cannot be made, found or removed."""

    code = "workspace-unavailable"


class VolumeFault(NotebookdError):
    """A volume, a datastore or a snapshot cannot be used. ``info_code`` (``DATASYNC_…``) says in which way."""

    code = "volume-unavailable"

    def __init__(self, message: str, *, info_code: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint, details={"info": info_code})
        self.info_code = info_code


class EngineError(NotebookdError):
    """The container engine refused an operation for a reason of its own (a backend fault)."""

    code = "engine-error"


class EngineUnavailable(EngineError):
    """The engine could not be reached or did not answer in time: its state is unknown."""

    code = "engine-unavailable"


class ImageMissing(EngineError):
    """The image is not present in the engine's storage."""

    code = "image-missing"


class ImageInUse(EngineError):
    """A container is made of the image."""

    code = "image-in-use"


class NameTaken(EngineError):
    """A container of that name exists already."""

    code = "name-taken"


class ContainerMissing(EngineError):
    """There is no such container."""

    code = "container-missing"


class DeviceUnresolvable(EngineError):
    """A CDI device name has no (valid) spec on this host."""

    code = "device-unresolvable"


class MountMoved(EngineError):
    """What stands at a mount in a container is not what was checked before; nothing ran in it."""

    code = "mount-moved"
