"""Run a health check of Argo CD as Argo CD runs it: Lua 5.1, the object in `obj`, next to no libraries.

https://argo-cd.readthedocs.io/en/stable/operator-manual/health/#custom-health-checks. Without `useOpenLibs`, a script
from argocd-cm has the base library, `table`, `package`, and `os` with `time` and `date`.

Argo CD's own library is not used: its Go package `util/lua` needs 1,261 packages, among them a module that no Go proxy
serves (`gitops-engine`, replaced by a folder of its repository). tests/integration/gitops runs the scripts in the
interpreter it embeds.
"""

from __future__ import annotations

from typing import Any

from lupa import lua51

# What a script may return. Missing and Unknown are Argo CD's own: the object is not there, or the script failed.
WORDS = ("Healthy", "Progressing", "Degraded", "Suspended")
CLOSED = ("string", "math", "io", "debug", "coroutine", "python")


def health(script: str, manifest: dict[str, Any]) -> dict[str, str]:
    """Return what the script says of an object: status and message."""
    lua = lua51.LuaRuntime(unpack_returned_tuples=True, register_eval=False)
    for library in CLOSED:
        lua.globals()[library] = None
    lua.execute("os = {time = os.time, date = os.date}")
    lua.globals()["obj"] = _table(lua, manifest)
    said = lua.execute(script)
    assert lua51.lua_type(said) == "table", f"Argo CD expects a table, not {said!r}"
    return {str(key): str(value) for key, value in said.items()}


def _table(lua: Any, value: Any) -> Any:
    """Return nested tables: an empty map and an empty list are the same to Lua."""
    if isinstance(value, dict):
        return lua.table_from({key: _table(lua, each) for key, each in value.items() if each is not None})
    if isinstance(value, list):
        return lua.table_from([_table(lua, each) for each in value])
    return value
