"""The settings of the SDK: a file, and variables that override it. Read when they are asked for, not before.

    # ~/.flow-operator/config.toml
    home_dir = "~/.flow-operator"

    [flows.defaults.storage]
    default_class = "Docker"

    [engine.executor]
    default_class = "flow_operator.executors.LocalExecutor"

    [registries."localhost:5001"]
    endpoint = "http://localhost:5001"

A variable is the setting's path in capitals, joined with double underscores: `FLOW_OPERATOR__HOME_DIR`,
`FLOW_OPERATOR__ENGINE__EXECUTOR__DEFAULT_CLASS`. `FLOW_OPERATOR__USER_CONFIG_PATH` names another file.
"""

# ruff: noqa: PTH111, PTH123 - pathlib costs start-up, which every run pays

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any, cast

from flow_operator.api.wire import CONFIG_ENV
from flow_operator.flow.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    from flow_operator.api.wire import RegistryEndpoint
    from flow_operator.flow.storage.base import Storage

PREFIX = "FLOW_OPERATOR__"
DEFAULT_HOME = "~/.flow-operator"
DEFAULT_EXECUTOR = "flow_operator.executors.LocalExecutor"

_ENDPOINT_KEYS = {"endpoint": str, "ca": str, "insecure": bool}


def home() -> Path:
    """The folder of what the SDK keeps on this machine."""
    from pathlib import Path

    return Path(str(_setting("home_dir", DEFAULT_HOME))).expanduser()


def flows_directory() -> Path:
    """Where flows are saved, and Local storage keeps its own."""
    return home() / "flows"


def default_executor() -> str:
    """The dotted path of the executor of a RemoteEnvironment that names none."""
    return str(_setting("engine.executor.default_class", DEFAULT_EXECUTOR))


def default_storage_class() -> type[Storage]:
    """The storage that `flow.deploy` makes where a flow has none. A value that is no storage warns and means Docker."""
    from flow_operator.flow import storage

    written = str(_setting("flows.defaults.storage.default_class", "Docker"))
    kind = storage.KINDS.get(written.rpartition(".")[2])
    if kind is None:
        known = ", ".join(storage.KINDS)
        warnings.warn(f"no storage {written!r}, using Docker; there are {known}", UserWarning, stacklevel=2)
        return storage.Docker
    return kind


def registries() -> dict[str, RegistryEndpoint]:
    """How registries are reached from this machine, by their public names."""
    written = _setting("registries", {})
    if not isinstance(written, dict):
        raise SettingsError(f"{_file()}: registries is not a table.", remedy='Write [registries."host:port"].')
    return {name: _endpoint(name, each) for name, each in written.items()}


def _endpoint(name: str, written: Any) -> RegistryEndpoint:
    if not isinstance(written, dict):
        raise SettingsError(f"registries.{name!r} is not a table.", remedy='Write [registries."host:port"].')
    for key, value in written.items():
        kind = _ENDPOINT_KEYS.get(key)
        if kind is None:
            raise SettingsError(f"registries.{name!r} has no key {key!r}; it may have {', '.join(_ENDPOINT_KEYS)}.")
        if not isinstance(value, kind):
            raise SettingsError(f"{key} of registries.{name!r} is not {'text' if kind is str else 'true or false'}.")
    return cast("RegistryEndpoint", dict(written))


def _setting(path: str, default: object) -> object:
    found: object = _settings()
    for key in path.split("."):
        if not isinstance(found, dict) or key not in found:
            return default
        found = found[key]
    return found


def _settings() -> dict[str, Any]:
    settings = _from_file()
    for name in sorted(each for each in os.environ if each.startswith(PREFIX) and each != CONFIG_ENV):
        _put(settings, name.removeprefix(PREFIX).lower().split("__"), os.environ[name])
    return settings


def _put(settings: dict[str, Any], keys: list[str], text: str) -> None:
    for key in keys[:-1]:
        inner = settings.get(key)
        settings[key] = settings = dict(inner) if isinstance(inner, dict) else {}
    settings[keys[-1]] = {"true": True, "false": False}.get(text.lower(), text)


def _file() -> str:
    return os.path.expanduser(os.environ.get(CONFIG_ENV) or f"{DEFAULT_HOME}/config.toml")


def _from_file() -> dict[str, Any]:
    file = _file()
    try:
        with open(file, "rb") as opened:
            data = opened.read()
    except OSError:  # no file is no settings
        return {}
    import tomllib

    try:
        return tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} is not TOML: {error}.", remedy="Mend it, or name another file.") from None
