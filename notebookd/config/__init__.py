# SPDX-License-Identifier: Apache-2.0
"""The configuration: one TOML file, read once into frozen values, every problem reported at once."""

from __future__ import annotations

from notebookd.config.effective import Setting, settings_of
from notebookd.config.load import DEFAULT_PATH, load_config, parse_config
from notebookd.config.reader import Problem
from notebookd.config.shape import (
    Api,
    Billing,
    CatalogueEntry,
    Config,
    Datastore,
    DirectoryDatastore,
    Editor,
    EngineConfig,
    FlavorOverride,
    Framework,
    Gateway,
    GpuDriver,
    Gpus,
    Images,
    Lifecycle,
    Paths,
    Quota,
    QuotaOverride,
    QuotaRule,
    RcloneDatastore,
    Store,
    Surroundings,
)
from notebookd.spelling import did_you_mean

__all__ = [
    "DEFAULT_PATH",
    "Api",
    "Billing",
    "CatalogueEntry",
    "Config",
    "Datastore",
    "DirectoryDatastore",
    "Editor",
    "EngineConfig",
    "FlavorOverride",
    "Framework",
    "Gateway",
    "GpuDriver",
    "Gpus",
    "Images",
    "Lifecycle",
    "Paths",
    "Problem",
    "Quota",
    "QuotaOverride",
    "QuotaRule",
    "RcloneDatastore",
    "Setting",
    "Store",
    "Surroundings",
    "did_you_mean",
    "load_config",
    "parse_config",
    "settings_of",
]
