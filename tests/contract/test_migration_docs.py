"""docs/migration.md: every import works, every argument of ours is in a table, every setting is one that is read."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from flow_operator import environments, storage
from flow_operator.api import wire
from flow_operator.flow import config
from flow_operator.flow.executors import PATHS
from tests.contract.test_docs import code, doc, rows, table

PAGE = "migration.md"
IMPORTS = [text for row in rows(doc(PAGE)) if len(row) == 2 for text in code(row[1]) if "flow_operator" in text]
TABLES: list[Any] = [
    storage.Docker,
    storage.Local,
    environments.RemoteEnvironment,
    environments.LocalEnvironment,
    environments.DaskKubernetesEnvironment,
    environments.KubernetesJobEnvironment,
    environments.FargateTaskEnvironment,
]


@pytest.mark.parametrize("text", [each for each in IMPORTS if each.startswith("from ")])
def test_an_import_works(text: str) -> None:
    exec(text, {})


@pytest.mark.parametrize("text", [each.strip('"') for each in IMPORTS if each.startswith('"')])
def test_the_path_of_an_executor_is_known(text: str) -> None:
    assert text in PATHS


@pytest.mark.parametrize("kind", TABLES, ids=lambda kind: kind.__name__)
def test_every_argument_of_ours_has_a_row(kind: Any) -> None:
    here = {name for row in table(PAGE, kind.__name__) for name in code(row[1])}
    assert here == set(inspect.signature(kind).parameters)


def test_every_setting_is_one_that_is_read() -> None:
    source = inspect.getsource(config)
    for row in table(PAGE, "settings"):
        for name in code(row[1]):
            setting = name.partition('."')[0]
            assert name == wire.CONFIG_ENV or f'_setting("{setting}"' in source, name
    defaults = {row[1].strip("`"): code(row[2]) for row in table(PAGE, "settings")}
    assert defaults[wire.CONFIG_ENV] == [f"{config.DEFAULT_HOME}/config.toml", wire.CONFIG_FILE]
    assert defaults["home_dir"] == [config.DEFAULT_HOME]
    assert defaults["engine.executor.default_class"] == [config.DEFAULT_EXECUTOR]
