# SPDX-License-Identifier: Apache-2.0
"""From TOML to :class:`~notebookd.config.shape.Config`: the keys, their defaults and what may stand in them."""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any, cast

from notebookd.config import shape
from notebookd.config.data import (
    read_datastores,
    read_snapshots,
    read_surroundings,
    read_transfers,
    read_workspaces,
)
from notebookd.config.effective import keys_of
from notebookd.config.images import TABLES, read_images
from notebookd.config.names import ACCOUNT, matching, parse_name
from notebookd.config.reader import Problem, Table
from notebookd.config.source import is_absent, read_folder, read_toml
from notebookd.errors import ConfigError
from notebookd.times import format_duration, parse_duration
from notebookd.units import parse_price, parse_size

DEFAULT_PATH = Path("/etc/notebookd/notebookd.toml")
CATALOGUE_FOLDER = "catalogue.d"

GPU_DRIVERS = ("nvml", "simulated")
BILLABLE_STATES = ("INITIALIZING", "PENDING", "RUNNING", "RESTARTING", "INTERRUPTING", "FINALIZING")
MOST_SIMULATED = 64
MOST_XID = 100_000
XID_RULES = ("note", "quarantine")

_group = matching(ACCOUNT, "the name of a group: it has no colon or control character, and no blank at either end")
_currency = matching(r"[A-Z]{3}", "a currency code of three capital letters")
_domain = matching(
    r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*",
    "a domain in lower case, without a port",
)


def load_config(path: Path | None = None, *, catalogue: bool = True) -> shape.Config:
    """The configuration in ``path``; without one, in the default place, where it may be absent. With ``catalogue``
    also what it and the folder catalogue.d beside it add to the catalogue: neither can be understood alone.

    Raises ConfigError naming every problem with file, key and hint.
    """
    source = path or DEFAULT_PATH
    problems: list[Problem] = []
    folder = source.parent / CATALOGUE_FOLDER
    dropped = read_folder(folder, problems) if catalogue else ()
    if path is None and is_absent(source):
        return parse_config({}, source=None, dropped=dropped, problems=problems)
    values = read_toml(source, problems)
    if values is None:
        raise _config_error(source, problems)
    if not catalogue:
        values = {key: value for key, value in values.items() if key not in TABLES}
    return parse_config(values, source=source, dropped=dropped, problems=problems)


def parse_config(
    values: Mapping[str, Any],
    *,
    source: Path | None,
    dropped: Sequence[Table] = (),
    problems: list[Problem] | None = None,
) -> shape.Config:
    """The configuration in a parsed TOML document, with the tables of catalogue.d and the problems found so far.
    Raises ConfigError naming every problem."""
    problems = [] if problems is None else problems
    root = Table(values, file=str(source or "built-in"), key="", problems=problems)
    paths = _paths(root)
    config = shape.Config(
        source=source,
        paths=paths,
        api=_api(root, paths),
        engine=_engine(root),
        gpus=_gpus(root),
        lifecycle=_lifecycle(root),
        gateway=_gateway(root),
        billing=_billing(root),
        quota=_quota(root),
        datastores=read_datastores(root),
        images=read_images(root, dropped, _built_in(problems)),
        flavors=_flavors(root),
        store=_store(root),
        events=_events(root),
        transfers=read_transfers(root),
        snapshots=read_snapshots(root, paths),
        workspace=read_workspaces(root),
        surroundings=read_surroundings(root),
        recipes=_recipes(root),
    )
    root.close()
    if problems:
        raise _config_error(source, problems)
    added = {f"image[{place}]" for place in range(config.images.added)}
    return replace(config, given=frozenset(keys_of(values)) | added)


def _built_in(problems: list[Problem]) -> Table:
    text = resources.files("notebookd").joinpath("catalogue.toml").read_text(encoding="utf-8")
    return Table(tomllib.loads(text), file="catalogue.toml", key="", problems=problems)


def _paths(root: Table) -> shape.Paths:
    with root.table("paths") as table:
        return shape.Paths(
            state=table.path("state", "/var/lib/notebookd"), runtime=table.path("runtime", "/run/notebookd")
        )


def _api(root: Table, paths: shape.Paths) -> shape.Api:
    with root.table("api") as table:
        return shape.Api(
            socket=table.path("socket", paths.runtime / "api.sock"),
            group=table.text("group", "notebookd", _group),
            admin_group=table.text("admin_group", "notebookd-admin", _group),
        )


def _engine(root: Table) -> shape.EngineConfig:
    with root.table("engine") as table:
        return shape.EngineConfig(socket=table.path("socket", "/run/notebookd-engine/engine.sock"))


def _gpus(root: Table) -> shape.Gpus:
    with root.table("gpus") as table:
        with table.open_table("xid") as xids:
            rules = {number: rule for number, rule in map(partial(_xid, xids), xids.keys()) if number}
        return shape.Gpus(
            driver=cast(shape.GpuDriver, table.choice("driver", GPU_DRIVERS, "nvml")),
            simulated=table.integer("simulated", 1, at_most=MOST_SIMULATED),
            foreign_memory_bytes=table.size("foreign_memory", "256MiB"),
            ignore_processes=table.strings("ignore_processes", ("Xorg",)),
            xid=rules,
            leftover_memory_bytes=table.size("leftover_memory", "1GiB"),
            lease_leftover=table.flag("lease_leftover", default=True),
            poll_s=table.duration("poll", "5s", at_least_s=0.1),
        )


def _xid(table: Table, key: str) -> tuple[int, str]:
    """A number of NVIDIA's and what follows from it; 0 and a problem more for a key that is no number."""
    rule = table.choice(key, XID_RULES, "note")
    if key.isascii() and key.isdecimal() and 0 < int(key) < MOST_XID:
        return int(key), rule
    table.problem(key, "is not the number of an Xid", 'write, for instance: 94 = "quarantine"')
    return 0, rule


def _lifecycle(root: Table) -> shape.Lifecycle:
    with root.table("lifecycle") as table:
        max_running_s = table.duration("max_running", "7d", at_least_s=1)
        lifecycle = shape.Lifecycle(
            max_running_s=max_running_s,
            max_extension_s=table.duration("max_extension", format_duration(max(max_running_s, 28 * 86_400))),
            stop_grace_s=table.duration("stop_grace", "30s"),
            start_timeout_s=table.duration("start_timeout", "15m", at_least_s=1),
            queue_timeout_s=table.duration("queue_timeout", "7d", at_least_s=1),
            warn_before_s=_warnings(table),
            idle_stop_s=table.duration_or_off("idle_stop"),
            start_after_boot=table.flag("start_after_boot", default=True),
            keep_workspace_on_delete=table.flag("keep_workspace_on_delete", default=False),
        )
        if lifecycle.max_extension_s < lifecycle.max_running_s:
            table.problem(
                "max_extension",
                f"is less than max_running ({format_duration(lifecycle.max_running_s)})",
                "it is the longest that a notebook may be made to run, counted like max_running",
            )
        if lifecycle.idle_stop_s is not None and lifecycle.idle_stop_s < 1:
            table.problem("idle_stop", "is too short: at least 1s", 'write "off" to turn it off')
        return lifecycle


def _warnings(table: Table) -> tuple[float, ...]:
    seconds = set()
    for position, text in enumerate(table.strings("warn_before", ("24h", "1h", "10m"))):
        try:
            seconds.add(parse_duration(text))
        except ValueError as error:
            table.problem(f"warn_before[{position}]", str(error))
    return tuple(sorted(seconds, reverse=True))


def _gateway(root: Table) -> shape.Gateway:
    with root.table("gateway") as table:
        host, port = table.parsed("listen", _host_and_port, ("127.0.0.1", 8421))
        domain = table.text("domain", "localhost", _domain)
        return shape.Gateway(
            listen_host=host,
            listen_port=port,
            domain=domain,
            url=table.parsed("url", _notebook_url(domain), f"http://{{id}}.{domain}:{port}/"),
            api=table.flag("api", default=False),
            trusted_proxies=table.strings("trusted_proxies"),
        )


def _billing(root: Table) -> shape.Billing:
    with root.table("billing") as table:
        states = table.strings("states", ("RUNNING",))
        for state in states:
            if state not in BILLABLE_STATES:
                table.problem("states", f"{state!r} cannot be billed", f"known: {', '.join(BILLABLE_STATES)}")
        with table.open_table("rates") as rates:
            micros = {flavor: rates.required(flavor, parse_price, 0) for flavor in rates.keys()}  # noqa: SIM118
        return shape.Billing(states=states, currency=table.text("currency", "EUR", _currency), rates=micros)


def _quota(root: Table) -> shape.Quota:
    with root.table("quota") as table:
        return shape.Quota(
            default=shape.QuotaRule(
                gpus=table.integer("gpus", 4),
                notebooks=table.integer("notebooks", 20),
                gpu_minutes_month=table.integer("gpu_minutes_month", 0),
            ),
            users=_quota_overrides(table, "user"),
            groups=_quota_overrides(table, "group"),
        )


def _quota_overrides(table: Table, key: str) -> dict[str, shape.QuotaOverride]:
    overrides = {}
    with table.open_table(key) as named:
        for name in named.keys():  # noqa: SIM118 - a Table is no mapping
            with named.table(name) as rule:
                overrides[name] = shape.QuotaOverride(
                    gpus=rule.optional_integer("gpus"),
                    notebooks=rule.optional_integer("notebooks"),
                    gpu_minutes_month=rule.optional_integer("gpu_minutes_month"),
                )
    return overrides


def _groups(table: Table) -> tuple[str, ...]:
    names = table.strings("groups")
    for position, name in enumerate(names):
        if name.startswith("@") or not re.fullmatch(ACCOUNT, name):
            table.problem(f"groups[{position}]", f"{name!r} is no name of a group", 'write it without "@"')
    return names


def _flavors(root: Table) -> tuple[shape.FlavorOverride, ...]:
    flavors: list[shape.FlavorOverride] = []
    for table in root.tables("flavor"):
        flavor = shape.FlavorOverride(
            id=table.required("id", parse_name, ""),
            description=table.parsed("description", str, None),
            cpus=table.optional_integer("cpus", at_least=1),
            memory_bytes=table.parsed("memory", _share, None),
            shm_bytes=table.parsed("shm", _share, None),
            max_units=table.optional_integer("max", at_least=1),
            default=table.flag("default", default=False),
            groups=_groups(table),
        )
        if flavor.id and any(other.id == flavor.id for other in flavors):
            table.problem("id", f"{flavor.id!r} is there twice")
        if flavor.default and any(other.default for other in flavors):
            table.problem("default", "another flavor is the default already")
        flavors.append(flavor)
    return tuple(flavors)


def _share(text: str) -> int:
    size = parse_size(text)
    if not size:
        raise ValueError("must be more than nothing: leave it out for the share that follows from the machine")
    return size


def _store(root: Table) -> shape.Store:
    with root.table("store") as table:
        return shape.Store(
            min_free_bytes=table.size("min_free", "1GiB"),
            min_free_inodes=table.integer("min_free_inodes", 1000, at_least=0),
            ballast_bytes=table.size("ballast", "64MiB"),
        )


def _events(root: Table) -> shape.Events:
    with root.table("events") as table:
        return shape.Events(keep_s=table.duration("keep", "365d", at_least_s=86_400))


def _recipes(root: Table) -> Path:
    with root.table("images") as table:
        return table.path("recipes", "/usr/share/notebookd/images")


def _notebook_url(domain: str) -> Callable[[str], str]:
    """Where browsers find a notebook when something stands before the gateway, which knows a notebook by its host."""
    pattern = rf"https?://\{{id\}}\.{re.escape(domain)}(:[1-9][0-9]{{0,4}})?/"
    return matching(pattern, f"https://{{id}}.{domain}/, with a port or without")


def _host_and_port(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    try:
        address = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError as error:
        raise ValueError(f"{text!r} is not an address and a port, as in 127.0.0.1:8421") from error
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or bracketed != (address.version == 6) or not re.fullmatch(r"[0-9]{1,5}", port):
        raise ValueError(f"{text!r} is not an address and a port, as in 127.0.0.1:8421 or [::1]:8421")
    if int(port) > 65535:
        raise ValueError(f"{text!r}: there is no port {port}")
    return str(address), int(port)


def _config_error(source: Path | None, problems: list[Problem]) -> ConfigError:
    place = source or "built-in configuration"
    own = {str(source), "built-in"}
    said = [f"{problem}" if problem.file in own else f"{problem.file}: {problem}" for problem in problems]
    if len(said) == 1:
        text = f"cannot use {place}: {said[0]}"
    else:
        lines = "\n".join(f"  {each}" for each in said)
        text = f"cannot use {place}: {len(problems)} problems\n{lines}"
    details = [{"file": one.file, "key": one.key, "message": one.message, "hint": one.hint} for one in problems]
    return ConfigError(text, details={"problems": details})
