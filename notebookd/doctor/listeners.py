# SPDX-License-Identifier: Apache-2.0
"""Who listens on the gateway's port: another user who did would be sent tokens."""

from __future__ import annotations

import http.client
import ipaddress
import pwd
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from notebookd.doctor.finding import Finding, fail, ok, warn, why
from notebookd.doctor.machine import Machine, Patient

LISTEN = "0A"
LOOPBACKS = ("127.0.0.1", "::1")
OURS = ("systemd", "init", "notebookd-gatew")  # the kernel keeps 15 letters of a program's name

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """A socket that listens, as the kernel lists it: who made it, and its number by which processes hold it."""

    address: Address
    port: int
    uid: int
    inode: str


def check_gateway(patient: Patient) -> Iterator[Finding]:
    """The gateway's address is listened on, on both loopbacks if on one, and by whom it should be."""
    machine, gateway = patient.machine, patient.config.gateway
    listeners = [each for each in _listeners(machine) if each.port == gateway.listen_port]
    wanted = _wanted(machine, gateway.listen_host)
    held = {address: _held_by(address, listeners) for address in wanted}
    for address, listener in held.items():
        place = f"[{address}]:{gateway.listen_port}" if address.version == 6 else f"{address}:{gateway.listen_port}"
        if listener is None:
            others = any(held.values())
            half = ", and the other loopback is: any user of this machine may take it, and be sent tokens"
            report = fail if others else warn
            yield report("gateway", f"nobody listens on {place}{half if others else ''}", _start(machine))
            continue
        whose, program = _user_name(listener.uid), _program(machine, listener.inode)
        seen = f"{place} is held by {whose}" + (f" ({program})" if program else "")
        named = program.partition(",")[0]
        if whose not in {"root", machine.gateway_account} or (whose == "root" and named and named not in OURS):
            find = f"sudo ss -ltnp 'sport = :{gateway.listen_port}' shows it; end it, then {_start(machine)}"
            yield fail("gateway", f"{seen}: not by the gateway; what browsers send there is in its hands", find)
        else:
            yield _answers(machine, listener, address, seen)


def _answers(machine: Machine, listener: Listener, address: Address, seen: str) -> Finding:
    """Whether somebody is behind the socket: systemd holds it also when the gateway cannot start."""
    host = ("::1" if address.version == 6 else "127.0.0.1") if address.is_unspecified else str(address)
    try:
        machine.http_status(host, listener.port)
    except (OSError, http.client.HTTPException) as error:
        log = "journalctl -u notebookd-gateway.service -n 50 says why; then " if machine.has_systemd else ""
        return fail("gateway", f"{seen}, and does not answer: {why(error)}", f"{log}{_start(machine)}")
    return ok("gateway", f"{seen}, and answers")


def _start(machine: Machine) -> str:
    if machine.has_systemd:
        return "systemctl restart notebookd-gateway.socket notebookd-gateway.service"
    return f"start notebookd-gateway as {machine.gateway_account}"


def _wanted(machine: Machine, host: str) -> list[Address]:
    if host not in LOOPBACKS:
        return [ipaddress.ip_address(host)]
    has_six = bool((machine.read("/proc/net/if_inet6") or "").strip())
    return [ipaddress.ip_address(each) for each in LOOPBACKS if has_six or ":" not in each]


def _held_by(address: Address, listeners: list[Listener]) -> Listener | None:
    """The listener that a connection to the address gets to: the exact one before one of every address."""
    rows = [each for each in listeners if each.address == address]
    rows += [each for each in listeners if each.address.is_unspecified and each.address.version == address.version]
    rows += [each for each in listeners if each.address.is_unspecified and address.version == 4]
    return rows[0] if rows else None


def _listeners(machine: Machine) -> Iterator[Listener]:
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in (machine.read(table) or "").splitlines()[1:]:
            words = line.split()
            if len(words) > 9 and words[3] == LISTEN and re.fullmatch(r"[0-9A-F]+:[0-9A-F]{4}", words[1]):
                address, _, port = words[1].partition(":")
                uid, inode = words[7], words[9]
                yield Listener(address=_address(address), port=int(port, 16), uid=int(uid), inode=inode)


def _address(digits: str) -> Address:
    """An address as /proc writes it: words of 32 bits in the machine's own order."""
    words = [int(digits[start : start + 8], 16) for start in range(0, len(digits), 8)]
    packed = struct.pack(f"={len(words)}I", *words)
    return ipaddress.ip_address(packed)


def _program(machine: Machine, inode: str) -> str:
    """A process that holds the socket, as ``name, pid N``; empty where that may not be seen."""
    names = [each.name for each in (machine.root / "proc").iterdir() if each.name.isdigit()]
    for pid in sorted(names, key=int, reverse=True):  # systemd holds passed sockets too: the younger says more
        folder = machine.root / "proc" / pid
        if any(_target(link) == f"socket:[{inode}]" for link in _links(folder / "fd")):
            return f"{(machine.read(f'/proc/{pid}/comm') or 'unknown').strip()}, pid {pid}"
    return ""


def _links(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
