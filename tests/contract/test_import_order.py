"""Any module can be the first that is imported: a cycle of imports shows by the order alone, to whoever comes first."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOM = Path(__file__).parents[2] / "operator"
# Each module is imported by a fork of a process that has other people's code, and none of ours; but for the models of
# api/, which import nothing of the other rooms, and would take most of the time.
EACH_FIRST = """
import gc, os, sys
from importlib import import_module

def each_first(names):
    for name in names:
        if not (child := os.fork()):
            try:
                import_module(name)
            except BaseException as error:
                print(name, error, sep=": ", flush=True)
            os._exit(0)
        os.waitpid(child, 0)
    print(len(names), flush=True)

api, others = (half.split(",") for half in sys.stdin.read().split(";"))
for name in (*api, *others):
    import_module(name)
for name in [each for each in sys.modules if each.partition(".")[0] == "flow_operator"]:
    del sys.modules[name]
gc.disable()
gc.freeze()
each_first(api)
for name in api:
    import_module(name)
del sys.modules["flow_operator"]
each_first(others)
"""


def test_each_module_can_be_the_first() -> None:
    paths = sorted(each.relative_to(ROOM).with_suffix("") for each in ROOM.rglob("*.py") if each.name != "__main__.py")
    modules = [".".join(each.parts).removesuffix(".__init__") for each in paths]
    api = [each for each in modules if each.startswith("flow_operator.api")]
    others = [each for each in modules if each not in api]
    done = subprocess.run(
        [sys.executable, "-P", "-c", EACH_FIRST],
        input=f"{','.join(api)};{','.join(others)}",
        env={"PYTHONPATH": str(ROOM)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == [str(len(api)), str(len(others))], done.stderr
