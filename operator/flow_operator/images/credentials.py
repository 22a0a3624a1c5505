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

from flow_operator.images.errors import BadRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

_HUB_NAMES = ("https://index.docker.io/v1/", "index.docker.io", "registry-1.docker.io")
_HELPER_SECONDS = 20
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
    """The credentials of one docker configuration."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config
        self._content = json.dumps(config, sort_keys=True)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Keychain) and self._content == other._content

    def __hash__(self) -> int:
        return hash(self._content)

    def find(self, registry: str) -> Credential | None:
        """The credential for a registry's public name, if there is one."""
        names = (registry, f"https://{registry}", *(_HUB_NAMES if registry == "docker.io" else ()))
        for name in names:
            found = self._written(name) or self._helped(name)
            if found:
                return found
        return None

    def _written(self, name: str) -> Credential | None:
        entry = self._config.get("auths", {}).get(name)
        return _from_entry(name, entry) if entry else None

    def _helped(self, name: str) -> Credential | None:
        helper = self._config.get("credHelpers", {}).get(name) or self._config.get("credsStore")
        return _from_helper(helper, name) if helper else None


def keychain_from(environ: Mapping[str, str] = os.environ) -> Keychain:
    """The keychain of `$DOCKER_CONFIG/config.json`, else of `~/.docker/config.json`; empty without either."""
    directory = environ.get("DOCKER_CONFIG") or str(Path(environ.get("HOME", "/")) / ".docker")
    try:
        return Keychain(json.loads((Path(directory) / "config.json").read_text()))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return Keychain({})
    except ValueError:
        raise BadRequestError(
            "The docker config.json of the push secret is not JSON.",
            remedy="Create the secret with `kubectl create secret docker-registry`.",
        ) from None


def _from_entry(name: str, entry: Mapping[str, str]) -> Credential | None:
    token = entry.get("identitytoken", "")
    if "auth" in entry:
        try:
            username, _, password = base64.b64decode(entry["auth"], validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise BadRequestError(f"The credential for {name} in the push secret is not base64.") from None
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
