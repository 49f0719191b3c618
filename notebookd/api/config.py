# SPDX-License-Identifier: Apache-2.0
"""The route of the configuration: what is in force, without secrets; to members what concerns them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from aiohttp import web

from notebookd import wire
from notebookd.api.call import Call, answer
from notebookd.config import Config, settings_of
from notebookd.domain.quota import QuotaRule
from notebookd.wire.redaction import Redactor

PUBLIC = ("gateway.domain", "billing.currency")
PUBLIC_TABLES = ("lifecycle.",)


async def show(call: Call) -> web.Response:
    """GET /v1/config."""
    config, actor = call.services.config, call.actor
    if actor.admin:
        file = wire.UNSET if config.source is None else str(config.source)
        return answer(wire.ConfigShown(file=file, items=list(_all(config))))
    own = call.services.quota(actor.name)
    return answer(wire.ConfigShown(items=[*_public(config), *_quota(own)]))


def _all(config: Config) -> Iterator[wire.ConfigSetting]:
    redactor = Redactor()
    for setting in settings_of(config):
        value = redactor.value({setting.key: setting.value})[setting.key]
        source = "file" if setting.given else "default"
        yield wire.ConfigSetting(key=setting.key, value=value, source=source)


def _public(config: Config) -> Iterator[wire.ConfigSetting]:
    for setting in settings_of(config):
        if setting.key in PUBLIC or setting.key.startswith(PUBLIC_TABLES):
            yield wire.ConfigSetting(key=setting.key, value=setting.value)


def _quota(own: QuotaRule) -> Iterator[wire.ConfigSetting]:
    """The caller's own, as the file writes it: no bound on minutes is 0."""
    for each in fields(own):
        bound = getattr(own, each.name)
        if bound is not None or each.name == "gpu_minutes_month":
            yield wire.ConfigSetting(key=f"quota.{each.name}", value=bound or 0)
