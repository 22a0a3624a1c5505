"""Registry credentials from docker's `config.json`: what a dockerconfigjson Secret holds, mounted.

A credential never appears in a message, a log line or a `repr`.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flow_operator.images.errors import PushSecretMalformedError, PushSecretMissingError

if TYPE_CHECKING:
    from collections.abc import Mapping

_HUB_NAMES = ("https://index.docker.io/v1/", "index.docker.io", "registry-1.docker.io")
_HUB_HOSTS = ("docker.io", "index.docker.io", "registry-1.docker.io")
_HELPER_SECONDS = 20
_SECRET_KEY = ".dockerconfigjson"  # noqa: S105 - the key that Kubernetes gives it
_TOKEN_USER = "<token>"  # noqa: S105 - docker's marker for "the secret is an identity token"


@dataclass(frozen=True)
class Credential:
    """User and password, or an identity token to be exchanged."""

    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)

    def basic(self) -> str:
        """The value of a basic Authorization header."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


class Keychain:
    """The credentials of one docker configuration; `owner` is what messages call it."""

    def __init__(self, config: Mapping[str, Any], owner: str = "docker's config.json") -> None:
        self._config = config
        self._owner = owner
        self._content = json.dumps(config, sort_keys=True)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Keychain) and self._content == other._content

    def __hash__(self) -> int:
        return hash(self._content)

    def find(self, registry: str) -> Credential | None:
        """The credential for a registry's public name, if there is one."""
        names = (registry, f"https://{registry}", *(_HUB_NAMES if registry == "docker.io" else ()))
        for name in dict.fromkeys((*names, *self._alike(registry))):
            found = self._written(name) or self._helped(name)
            if found:
                return found
        return None

    def _alike(self, registry: str) -> list[str]:
        """Names of the same host, written with a scheme or a path: docker's own tools and `kubectl` take those too."""
        hosts = _HUB_HOSTS if registry == "docker.io" else (registry,)
        known = (*self._config.get("auths", {}), *self._config.get("credHelpers", {}))
        return [name for name in known if _host(name) in hosts]

    def _written(self, name: str) -> Credential | None:
        entry = self._config.get("auths", {}).get(name)
        if entry and not isinstance(entry, dict):
            raise PushSecretMalformedError(f"The entry for {name} in {self._owner} is no object.")
        return _from_entry(name, entry, self._owner) if entry else None

    def _helped(self, name: str) -> Credential | None:
        helper = self._config.get("credHelpers", {}).get(name) or self._config.get("credsStore")
        return _from_helper(helper, name) if helper else None


def _host(name: str) -> str:
    return name.removeprefix("https://").removeprefix("http://").partition("/")[0].lower()


def keychain_from(environ: Mapping[str, str] = os.environ) -> Keychain:
    """The keychain of `$DOCKER_CONFIG/config.json`, else of `~/.docker/config.json`; empty without either."""
    directory = environ.get("DOCKER_CONFIG") or str(Path(environ.get("HOME", "/")) / ".docker")
    try:
        text = (Path(directory) / "config.json").read_text()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return Keychain({})
    return Keychain(_config(text, "docker's config.json"))


def keychain_of_secret(name: str, directory: Path) -> Keychain:
    """The keychain of a dockerconfigjson Secret, mounted whole; the mount is empty where there is no such Secret."""
    there = (
        sorted(each.name for each in directory.iterdir() if not each.name.startswith(".."))
        if directory.is_dir()
        else []
    )
    if not there:
        raise PushSecretMissingError(f"There is no Secret {name!r} in this namespace (pushSecret).")
    if _SECRET_KEY not in there:
        raise PushSecretMalformedError(f"Secret {name!r} has no key {_SECRET_KEY}; it has: {', '.join(there)}.")
    owner = f"Secret {name!r}"
    try:
        text = (directory / _SECRET_KEY).read_text()
    except UnicodeDecodeError:
        raise PushSecretMalformedError(f"{owner}: its {_SECRET_KEY} is no text.") from None
    return Keychain(_config(text, owner), owner)


def _config(text: str, owner: str) -> dict[str, Any]:
    try:
        config = json.loads(text)
    except ValueError:
        raise PushSecretMalformedError(f"{owner} holds something that is not JSON.") from None
    if not isinstance(config, dict):
        raise PushSecretMalformedError(f"{owner} is no docker configuration: `auths` must be an object.")
    for key in ("auths", "credHelpers"):
        if not isinstance(config.get(key, {}), dict):
            raise PushSecretMalformedError(f"{owner} is no docker configuration: `{key}` must be an object.")
    return config


def _from_entry(name: str, entry: Mapping[str, str], owner: str) -> Credential | None:
    token = entry.get("identitytoken", "")
    if entry.get("auth"):
        try:
            text = base64.b64decode(entry["auth"], validate=True).decode()
        except (binascii.Error, ValueError, TypeError):
            raise PushSecretMalformedError(f"The credential for {name} in {owner} is not base64.") from None
        username, colon, password = text.partition(":")
        if not colon:
            raise PushSecretMalformedError(f"The credential for {name} in {owner} is not user:password in base64.")
        return Credential(username, password, token)
    if token or "username" in entry:
        return Credential(entry.get("username", ""), entry.get("password", ""), token)
    return None


def _from_helper(helper: str, name: str) -> Credential | None:
    """Ask `docker-credential-<helper>`, as docker does on a laptop. No answer means no credential."""
    command = [f"docker-credential-{helper}", "get"]
    try:
        done = subprocess.run(command, input=name, capture_output=True, text=True, timeout=_HELPER_SECONDS)
        answer = json.loads(done.stdout) if done.returncode == 0 else {}
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return None
    if not answer:
        return None
    if answer["Username"] == _TOKEN_USER:
        return Credential(identity_token=answer["Secret"])
    return Credential(answer["Username"], answer["Secret"])
