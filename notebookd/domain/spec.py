# SPDX-License-Identifier: Apache-2.0
"""What may be asked for: the rules of a notebook's specification, each fault named with its JSON path."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from notebookd.domain.catalogue import Catalogue
from notebookd.domain.environment import refusal
from notebookd.domain.idleness import IDLE_STOP_LABEL, parse_window
from notebookd.domain.notebook import NotebookSpec, ResourceRequest
from notebookd.domain.resources import Flavor, brand_and_model
from notebookd.domain.volumes import MAX_VOLUMES, Volume, normalised, volume_faults

LONGEST_NAME = 63
NAME = re.compile(rf"[a-z0-9][a-z0-9-]{{0,{LONGEST_NAME - 1}}}")
ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
LABEL_KEY = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._/-]{0,126}[A-Za-z0-9])?")
MAX_LABEL_VALUE = 255
MAX_LABELS = 64
MAX_ENV_VARS = 256
MAX_ENV_VALUE = 32 * 1024
MAX_SSH_KEYS = 10
MAX_SSH_KEY = 16 * 1024
_OURS = ("ovh/", "notebookd/")

ADJECTIVES = (
    "amber", "brave", "bright", "calm", "clever", "crisp", "eager", "early", "fair", "fleet", "fresh", "gentle",
    "glad", "grand", "happy", "keen", "kind", "lively", "lucid", "mellow", "merry", "neat", "noble", "proud",
    "quick", "quiet", "rapid", "ready", "sharp", "shiny", "silent", "smart", "solid", "steady", "sunny", "swift",
    "tidy", "vivid", "warm", "wise",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a request, at a JSON path such as ``$.resources.gpu``."""

    path: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceWish:
    """Resources as they came: what is asked for, and derived fields echoed back (None where absent)."""

    gpu: int | None = None
    cpu: int | None = None
    flavor: str | None = None
    memory: int | None = None
    gpu_brand: str | None = None
    gpu_model: str | None = None
    gpu_memory: int | None = None
    ephemeral_storage: int | None = None
    private_network: int | None = None
    public_network: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecWish:
    """A specification as it came; None is what was not given (or was itself at fault and is reported already)."""

    editor: str | None = None
    framework: str | None = None
    version: str | None = None
    resources: ResourceWish | None = None
    name: str | None = None
    labels: Mapping[str, str] | None = None
    env_vars: tuple[tuple[str, str], ...] | None = None
    ssh_public_keys: tuple[str, ...] | None = None
    timeout_auto_restart: bool | None = None
    unsecure_http: bool | None = None
    volumes: tuple[Volume, ...] | None = None


def generated_name(editor: str, choice: int) -> str:
    """A name for a notebook that was given none: the editor and an adjective."""
    return f"{editor}-{ADJECTIVES[choice % len(ADJECTIVES)]}"


def complete(
    wish: SpecWish, catalogue: Catalogue, flavors: Sequence[Flavor], *, name: str, git_schemes: Sequence[str] = ()
) -> tuple[NotebookSpec | None, list[Fault]]:
    """The specification that a wish means, and everything that is wrong with it (then the first is None)."""
    faults = [*_env_faults(wish, catalogue), *common_faults(wish, {}, git_schemes)]
    if wish.name is not None:
        faults += name_faults(wish.name)
    resources, wrong = choose_resources(wish.resources or ResourceWish(), flavors)
    faults += wrong
    if faults or resources is None or wish.editor is None or wish.framework is None:
        return None, faults
    entry = catalogue.get(wish.editor, wish.framework, wish.version)
    spec = NotebookSpec(
        name=wish.name or name,
        editor=entry.editor,
        framework=entry.framework,
        framework_version=entry.version,
        resources=resources,
        labels={**entry.labels, **(wish.labels or {})},
        env_vars=wish.env_vars or (),
        ssh_public_keys=wish.ssh_public_keys or (),
        timeout_auto_restart=bool(wish.timeout_auto_restart),
        unsecure_http=bool(wish.unsecure_http),
        volumes=tuple(map(normalised, wish.volumes or ())),
    )
    return spec, []


def common_faults(wish: SpecWish, stored_labels: Mapping[str, str], git_schemes: Sequence[str] = ()) -> Iterator[Fault]:
    """Faults of the fields that a new notebook and a change have in common."""
    yield from label_faults(wish.labels or {}, stored_labels)
    yield from env_faults(wish.env_vars or ())
    yield from ssh_key_faults(wish.ssh_public_keys or ())
    volumes = tuple(map(normalised, wish.volumes or ()))
    if len(volumes) > MAX_VOLUMES:
        yield Fault("$.volumes", f"at most {MAX_VOLUMES} volumes")
    yield from volume_field_faults(volume_faults(volumes, git_schemes))


def volume_field_faults(found: Iterable[tuple[int, str, str]]) -> Iterator[Fault]:
    """What was found wrong with volumes, by index and field, as faults of a specification."""
    return (Fault(f"$.volumes[{index}].{field}", message) for index, field, message in found)


def _env_faults(wish: SpecWish, catalogue: Catalogue) -> Iterator[Fault]:
    if wish.editor is None or wish.framework is None:
        return
    entry = catalogue.find(wish.editor, wish.framework, wish.version)
    if entry is not None and entry.deprecated is not None:
        words = f"{entry.editor} with {entry.framework} {entry.version} is deprecated: {entry.deprecated}"
        yield Fault(f"$.env.{'frameworkVersion' if wish.version else 'frameworkId'}", words)
    for fault in catalogue.why_missing(wish.editor, wish.framework, wish.version) if entry is None else ():
        part = {"editor": "editorId", "framework": "frameworkId"}.get(fault.details["part"], "frameworkVersion")
        yield Fault(f"$.env.{part}", fault.message.removeprefix("cannot find an image: "))


def name_faults(name: str, path: str = "$.name") -> Iterator[Fault]:
    """Faults of a notebook's name."""
    if not NAME.fullmatch(name):
        yield Fault(path, "must be 1 to 63 characters of a-z, 0-9 and -, and not begin with -")


def label_fault(key: str, value: str | None) -> str | None:
    """Why a person may not set or remove this label."""
    if key.startswith(_OURS) and key != IDLE_STOP_LABEL:
        return f"labels {_OURS[0]}… and {_OURS[1]}… are the platform's"
    if key == IDLE_STOP_LABEL and value:
        return _idle_stop_fault(value)
    if not LABEL_KEY.fullmatch(key):
        return "a label's name is 1 to 128 characters of letters, digits and . _ / -"
    if value is not None and len(value) > MAX_LABEL_VALUE:
        return f"a label's value has at most {MAX_LABEL_VALUE} characters"
    return None


def _idle_stop_fault(value: str) -> str | None:
    try:
        parse_window(value)
    except ValueError:
        return 'must be "off" or a duration of a minute or more, such as "4h"'
    return None


def label_faults(labels: Mapping[str, str], stored: Mapping[str, str], path: str = "$.labels") -> Iterator[Fault]:
    """Faults of a label map; platform labels are accepted when equal to what is stored or derived."""
    if len(labels) > MAX_LABELS:
        yield Fault(path, f"at most {MAX_LABELS} labels")
    for key, value in labels.items():
        if stored.get(key) == value:
            continue
        message = label_fault(key, value)
        if message:
            yield Fault(f"{path}.{key}", message)


def env_faults(pairs: Sequence[tuple[str, str]], path: str = "$.envVars") -> Iterator[Fault]:
    """Faults of environment variables."""
    if len(pairs) > MAX_ENV_VARS:
        yield Fault(path, f"at most {MAX_ENV_VARS} environment variables")
    seen: set[str] = set()
    for index, (name, value) in enumerate(pairs):
        if not ENV_NAME.fullmatch(name):
            yield Fault(f"{path}[{index}].name", "must be letters, digits and _, not starting with a digit")
        if (reason := refusal(name)) is not None:
            yield Fault(f"{path}[{index}].name", f"{name} cannot be set: {reason}")
        if name in seen:
            yield Fault(f"{path}[{index}].name", f"{name} is given twice")
        seen.add(name)
        if "\0" in value or len(value) > MAX_ENV_VALUE:
            yield Fault(f"{path}[{index}].value", f"must be at most {MAX_ENV_VALUE} characters without NUL")


def ssh_key_faults(keys: Sequence[str], path: str = "$.sshPublicKeys") -> Iterator[Fault]:
    """Faults of SSH public keys."""
    if len(keys) > MAX_SSH_KEYS:
        yield Fault(path, f"at most {MAX_SSH_KEYS} keys")
    for index, key in enumerate(keys):
        if len(key) > MAX_SSH_KEY:
            yield Fault(f"{path}[{index}]", f"must be at most {MAX_SSH_KEY} characters")
        elif not re.fullmatch(r"(ssh|ecdsa|sk)-[a-z0-9@.-]+ [A-Za-z0-9+/=]+( [^\n\r]*)?", key.strip()):
            yield Fault(f"{path}[{index}]", "is no OpenSSH public key")


def choose_resources(
    wish: ResourceWish, flavors: Sequence[Flavor], path: str = "$.resources"
) -> tuple[ResourceRequest | None, list[Fault]]:
    """The request that a wish means: neither gpu nor cpu is 1 GPU of the default flavor; 0 means absent."""
    faults = [
        Fault(f"{path}.{field}", "must not be negative")
        for field, value in (("gpu", wish.gpu), ("cpu", wish.cpu))
        if value is not None and value < 0
    ]
    if wish.gpu and wish.cpu:
        faults.append(Fault(path, "gpu and cpu exclude each other: ask for one of them"))
    if faults:
        return None, faults
    flavor = _flavor(wish, flavors)
    if isinstance(flavor, str):
        return None, [Fault(f"{path}.flavor" if wish.flavor else path, flavor)]
    units = (wish.gpu if flavor.gpu else wish.cpu) or 1
    if units > flavor.limit:
        field = "gpu" if flavor.gpu else "cpu"
        faults.append(Fault(f"{path}.{field}", f"flavor {flavor.id} has at most {flavor.limit}"))
    return ResourceRequest(flavor=flavor.id, units=units, gpu=flavor.gpu), faults + _derived_faults(
        wish, flavor, units, path
    )


def _flavor(wish: ResourceWish, flavors: Sequence[Flavor]) -> Flavor | str:
    if wish.flavor:
        found = next((flavor for flavor in flavors if flavor.id == wish.flavor), None)
        if found is None:
            return f"there is no flavor {wish.flavor}; there are {', '.join(flavor.id for flavor in flavors)}"
        if (wish.gpu and not found.gpu) or (wish.cpu and found.gpu):
            return f"flavor {found.id} is one of {'GPUs' if found.gpu else 'CPUs'}"
        return found
    wanted = [flavor for flavor in flavors if flavor.gpu is not bool(wish.cpu)]
    if not wanted:
        return "this machine has no GPU: ask for cpu"
    return next((flavor for flavor in wanted if flavor.default), wanted[0])


def _derived_faults(wish: ResourceWish, flavor: Flavor, units: int, path: str) -> list[Fault]:
    brand, model = brand_and_model(flavor.gpu_model) if flavor.gpu_model else (None, None)
    derived = (
        ("memory", wish.memory, flavor.memory_bytes * units),
        ("gpuBrand", wish.gpu_brand, brand),
        ("gpuModel", wish.gpu_model, model),
        ("gpuMemory", wish.gpu_memory, flavor.gpu_memory_bytes),
        ("ephemeralStorage", wish.ephemeral_storage, None),
        ("privateNetwork", wish.private_network, None),
        ("publicNetwork", wish.public_network, None),
    )
    return [
        Fault(f"{path}.{name}", f"is not customisable: {units} x {flavor.id} come with {value or 'none to choose'}")
        for name, wished, value in derived
        if wished is not None and wished != value
    ]
