# SPDX-License-Identifier: Apache-2.0
"""Looking at a machine: every check in a thread of its own, and none longer than all may take."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from notebookd.config import Config
from notebookd.doctor.finding import Check, Finding, Status
from notebookd.doctor.machine import Machine, NotSeen, Patient

PATIENCE_S = 20.0
AGAIN = "sudo notebookd doctor"


class _Examination(threading.Thread):
    """One check, in a thread of its own, so that one that hangs holds up neither the others nor the report."""

    def __init__(self, check: Check, patient: Patient) -> None:
        super().__init__(name=check.__name__, daemon=True)
        self._check, self._patient = check, patient
        self._found: list[Finding] | None = None
        self.what = check.__name__.removeprefix("check_").replace("_", " ")

    def run(self) -> None:
        found: list[Finding] = []
        try:
            found.extend(self._check(self._patient))
        except Exception as error:  # noqa: BLE001 - a check that fails is a finding; the others go on
            known = isinstance(error, NotSeen | OSError)
            seen = str(error) if known else f"the check itself failed: {type(error).__name__}: {error}"
            found.append(Finding(name=self.what, status=Status.WARN, seen=seen, cure=AGAIN))
        self._found = found

    def findings(self) -> list[Finding]:
        """What it found by now."""
        if self._found is not None:
            return self._found
        seen = f"no answer in {PATIENCE_S:g} s: something hangs"
        return [
            Finding(name=self.what, status=Status.WARN, seen=seen, cure="dmesg | tail; then notebookd doctor again")
        ]


def examined(
    config: Config,
    machine: Machine,
    *,
    checks: Sequence[Check],
    patience_s: float = PATIENCE_S,
) -> list[Finding]:
    """Everything the checks found, in their order. They run beside each other, and none longer than all may."""
    patient = Patient(config, machine)
    examinations = [_Examination(check, patient) for check in checks]
    for each in examinations:
        each.start()
    late = threading.Event()
    timer = threading.Timer(patience_s, late.set)
    timer.daemon = True
    timer.start()
    for each in examinations:
        while each.is_alive() and not late.is_set():
            each.join(timeout=0.05)
    timer.cancel()
    return [finding for each in examinations for finding in each.findings()]
