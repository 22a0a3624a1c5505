"""Decisions about a run, as tests take them: each one twice."""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from flow_operator.plan import run as run_plan
from tests.support import makers as m
from tests.support.condition_rules import violations

if TYPE_CHECKING:
    from flow_operator.plan.types import ObservedRun, Plan

Manifest = dict[str, Any]


def decided(run: Manifest, seen: ObservedRun, after: float) -> Plan:
    """Decide, and decide again upon the result: the second time there must be nothing new to tell."""
    now = m.NOW + timedelta(seconds=after)
    before = copy.deepcopy(run)
    plan = run_plan.decide(run, seen, m.settings(), now)
    assert run == before, "a decision must not change what it is given"
    told = m.with_status(run, plan.status)
    assert not violations(told), violations(told)
    assert run_plan.decide(told, seen, m.settings(), now).status is None, "the same world must give the same status"
    return plan
