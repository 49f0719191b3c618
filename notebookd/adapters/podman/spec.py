# SPDX-License-Identifier: Apache-2.0
"""A ContainerSpec as the body of libpod's ``POST /containers/create``.

podman-py's own ``containers.create`` has no word for the value of keep-id, for explicit network options and for
several of the switches below, so the body is written out here: it is the whole of a container's hardening, on one
page. Field names are those of Podman's ``pkg/specgen.SpecGenerator``.
"""

from __future__ import annotations

from typing import Any

from notebookd.ports.engine import ContainerSpec, Mount, Network

CPU_PERIOD_US = 100_000

SLIRP_OPTIONS = ("allow_host_loopback=false",)
PASTA_OPTIONS = ("--no-map-gw", "-t", "none", "-u", "none", "-T", "none", "-U", "none")
"""No gateway address that stands for the host, no port forwarded in (-t, -u) or out to the host's loopback (-T, -U)."""


def create_body(spec: ContainerSpec, *, controllers: frozenset[str], network_command: str) -> dict[str, Any]:
    """The create body; limits whose cgroup controller is not in ``controllers`` are left out.

    ``network_command`` is what the engine uses for rootless networking, ``slirp4netns`` or ``pasta``.
    """
    body: dict[str, Any] = {
        "name": spec.name,
        "image": spec.image,
        "env": dict(spec.env),
        "labels": dict(spec.labels),
        "hostname": spec.hostname,
        "work_dir": spec.workdir,
        "mounts": [*(_mount(mount) for mount in spec.mounts), *(_tmpfs(target) for target in spec.tmpfs)],
        "shm_size": spec.shm_bytes,
        "log_configuration": {"driver": "k8s-file", "size": spec.log_bytes},
        "resource_limits": _limits(spec, controllers),
        "restart_policy": "no",
        "stop_signal": spec.stop_signal,
        "init": True,
        "systemd": "false",
        "terminal": False,
        "stdin": False,
        "healthconfig": {"Test": ["NONE"]},
        "image_volume_mode": "ignore",
        **_hardening(spec),
        **_network(spec.network, network_command),
    }
    if spec.rootfs is not None:
        # Nothing of Podman's own is put into it but for what a network needs.
        body |= {"rootfs": spec.rootfs, "read_only_filesystem": True, "passwd": False}
        del body["image"]
    if spec.command:
        # As entrypoint, so that an image's own ENTRYPOINT is not put before it.
        body["entrypoint"] = [spec.command[0]]
        body["command"] = list(spec.command[1:])
    if spec.devices:
        body["devices"] = [{"path": name} for name in spec.devices]
    return body


def _hardening(spec: ContainerSpec) -> dict[str, Any]:
    return {
        "user": f"{spec.uid}:{spec.uid}",
        "userns": {"nsmode": "keep-id", "value": f"uid={spec.uid},gid={spec.uid}"},
        "cap_drop": ["ALL"],
        "no_new_privileges": True,
        "privileged": False,
        "ipcns": {"nsmode": "private"},
        "publish_image_ports": False,
        "env_host": False,
        "httpproxy": False,  # the engine's proxy variables may hold credentials
    }


def _network(network: Network, command: str) -> dict[str, Any]:
    if network is not Network.PRIVATE:
        return {"netns": {"nsmode": str(network)}}
    options = PASTA_OPTIONS if command == "pasta" else SLIRP_OPTIONS
    return {"netns": {"nsmode": command}, "network_options": {command: list(options)}}


def _mount(mount: Mount) -> dict[str, Any]:
    access = "ro" if mount.read_only else "rw"
    return {
        "type": "bind",
        "source": mount.source,
        "destination": mount.target,
        "options": ["rbind", "rprivate", "nosuid", "nodev", access],
    }


def _tmpfs(target: str) -> dict[str, Any]:
    return {"type": "tmpfs", "destination": target, "options": ["nosuid", "nodev", "mode=1777"]}


def _limits(spec: ContainerSpec, controllers: frozenset[str]) -> dict[str, Any]:
    # A pids limit of 0 is "none": absent, Podman would put in its own default, which fails without the controller.
    limits: dict[str, Any] = {"pids": {"limit": spec.pids if "pids" in controllers else 0}}
    if spec.cpus is not None and "cpu" in controllers:
        limits["cpu"] = {"quota": int(spec.cpus * CPU_PERIOD_US), "period": CPU_PERIOD_US}
    if spec.memory_bytes is not None and "memory" in controllers:
        # swap counts memory and swap together: equal means no swap
        limits["memory"] = {"limit": spec.memory_bytes, "swap": spec.memory_bytes}
    return limits
