"""`deploy`, `render` and `project`: from a file to a FlowDeployment, with and without a cluster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from flow_operator.api import labels
from flow_operator.api.flow_deployment import parse_spec
from flow_operator.deploy import pack, source
from flow_operator.deploy.cli import loading
from flow_operator.deploy.source import Declared, Wishes
from flow_operator.deploy.written import as_yaml
from flow_operator.flow.errors import DeployRefused

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.api_server import ApiServer
    from tests.unit.deploy.conftest import Call

FLOW = """\
from flow_operator import flow
from flow_operator.environments import DaskKubernetesEnvironment
from flow_operator.storage import Docker

print("a module may print")

@flow(
    name="My Squares",
    storage=Docker(registry_url="registry.example.com/team-a", python_dependencies=["numpy==2.3.5"]),
    environment=DaskKubernetesEnvironment(max_workers=4),
    schedule="30 6 * * 1-5",
)
def squares(n: int = 10):
    '''Say "it":  # as it is'''
    return n

def plain(n: int):
    return n
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    made = tmp_path / "squares.py"
    made.write_text(FLOW)
    return str(made)


def rendered(kubectl_flow: Call, *arguments: str) -> dict[str, Any]:
    """Return the manifest that is printed."""
    said = kubectl_flow("render", *arguments)
    assert said.code == 0, said.err
    made: dict[str, Any] = yaml.safe_load(said.out)
    parse_spec(made["spec"])
    return made


# render


def test_what_a_flow_declares_is_in_the_manifest(kubectl_flow: Call, file: str) -> None:
    made = rendered(kubectl_flow, f"{file}:squares")
    assert made["metadata"] == {"name": "my-squares"}
    assert made["spec"] == {
        "flow": {"source": {"inline": FLOW}, "entrypoint": "squares.py:squares"},
        "storage": {
            "docker": {"registryURL": "registry.example.com/team-a", "pythonDependencies": ["numpy==2.3.5"]},
        },
        "environment": {"daskKubernetes": {"minWorkers": 1, "maxWorkers": 4}},
        "schedule": {"cron": ["30 6 * * 1-5"]},
    }


def test_the_same_file_is_the_same_readable_text(kubectl_flow: Call, file: str) -> None:
    one, other = (kubectl_flow("render", f"{file}:squares").out for _ in range(2))
    assert one == other
    assert "      inline: |\n" in one
    assert "\n            '''Say \"it\":  # as it is'''\n" in one
    assert not one.startswith("a module may print")


def test_what_the_command_line_says_wins(kubectl_flow: Call, file: str) -> None:
    options = ("--name", "sq", "-n", "team-b", "--registry-url", "other.example.com/x/", "-p", "n=4")
    made = rendered(kubectl_flow, f"{file}:squares", *options, "--no-set-schedule-active")
    assert made["metadata"] == {"name": "sq", "namespace": "team-b"}
    assert made["spec"]["storage"]["docker"]["registryURL"] == "other.example.com/x"
    assert made["spec"]["parameters"] == {"n": 4}
    assert made["spec"]["schedule"] == {"cron": ["30 6 * * 1-5"], "suspend": True}


def test_a_project_is_a_namespace_and_a_label(kubectl_flow: Call, file: str) -> None:
    made = rendered(kubectl_flow, f"{file}:plain", "--project", "My First Project", "--build", "none")
    assert made["metadata"] == {
        "name": "plain",
        "namespace": "my-first-project",
        "labels": {"flow-operator.io/project": "my-first-project"},
    }
    assert made["spec"]["storage"] == {"bytes": {}}
    assert "environment" not in made["spec"]


def test_a_file_that_needs_what_is_not_here_goes_unseen_if_told_so(kubectl_flow: Call, tmp_path: Path) -> None:
    file = tmp_path / "flow.py"
    file.write_text("import no_such_package\n\ndef flow():\n    return 1\n")
    asked = ("render", str(file), "--registry-url", "registry.example.com")
    refused = kubectl_flow(*asked)
    assert (refused.code, refused.out) == (1, "")
    assert "flow.py imports 'no_such_package', which is not installed here" in refused.err
    assert "; or take the file without what it declares: --unseen --name NAME." in refused.err
    nameless = kubectl_flow(*asked, "--unseen")
    assert (nameless.code, nameless.out) == (2, "")
    assert "Add --name." in nameless.err
    said = kubectl_flow(*asked, "--unseen", "--name", "squares")
    assert said.code == 0
    assert "Warning: flow.py imports 'no_such_package', which is not installed here" in said.err
    assert "It is taken unseen" in said.err
    made = yaml.safe_load(said.out)
    assert made["metadata"]["name"] == "squares"
    assert made["spec"]["storage"] == {"docker": {"registryURL": "registry.example.com"}}
    here = kubectl_flow("render", str(file), "--build", "here", "--unseen", "--name", "squares")
    assert here.code == 1
    assert "Install the package of 'no_such_package'.\n" in here.err


@pytest.mark.parametrize(
    ("first", "what"),
    [
        ("def", "flow.py is not Python"),
        ("import os; os.environ['NOT_SET_HERE']", "flow.py cannot be imported: KeyError: 'NOT_SET_HERE'"),
        ("import os; os._exit(0)", "flow.py could not be loaded: its process ended with code 0"),
        ("raise SystemExit", "flow.py cannot be imported: SystemExit"),
    ],
)
@pytest.mark.parametrize("command", ["render", "deploy"])
def test_a_file_that_is_broken_is_refused(
    kubectl_flow: Call, tmp_path: Path, command: str, first: str, what: str
) -> None:
    file = tmp_path / "flow.py"
    file.write_text(f"{first}\n\ndef flow():\n    return 1\n")
    for options in ((), ("--unseen", "--name", "squares")):
        said = kubectl_flow(command, str(file), *options)
        assert (said.code, said.out) == (1, "")
        assert what in said.err
        assert "Mend " in said.err
        assert "--unseen" not in said.err


@pytest.mark.parametrize(
    ("source", "arguments", "code", "what"),
    [
        ("x = 1\n", (), 1, "there is no 'flow' in flow.py"),
        ("def flow(n): return n\n", ("-p", "m=1"), 2, "The flow has no parameter 'm'."),
        (
            "from flow_operator import flow\n@flow(schedule='0 6 * * *')\ndef flow(n): return n\n",
            (),
            2,
            "The flow has a schedule, and its parameter 'n' is required.",
        ),
        ("def flow(): return 1\n", ("--name", "Not A Name"), 2, "'Not A Name' cannot be the name of a FlowDeployment."),
        ("def flow(): return 1\n", ("--build", "here"), 2, "no registry is named"),
        ("#" * 200_001 + "\ndef flow(): return 1\n", (), 2, "at most 200,000"),
        ("#" * 200_001 + "\ndef flow(): return 1\n", ("--build", "here"), 2, "no registry is named"),
        ("def flow(): return 1\n", ("--build", "here", "--name", "A"), 2, "'A' cannot be the name"),
        (
            "from flow_operator import flow, storage\n@flow(storage=storage.Memory())\ndef flow(): return 1\n",
            (),
            2,
            "The flow's storage cannot be used in a cluster:",
        ),
        (
            "from flow_operator import flow, storage\n@flow(storage=storage.Local('/tmp'))\ndef flow(): return 1\n",
            (),
            2,
            "or have its file mounted: --build none.",
        ),
        (
            (
                "from flow_operator import flow, storage\n"
                "@flow(storage=storage.Docker('r', files={'/etc/hostname': '/x'}))\ndef flow(): return 1\n"
            ),
            (),
            2,
            "The flow's storage has files of this machine",
        ),
        (
            (
                "from flow_operator import flow, storage\n"
                "@flow(storage=storage.Docker('r', architecture='arm64'))\ndef flow(): return 1\n"
            ),
            (),
            2,
            "The flow's storage has architecture 'arm64'",
        ),
    ],
)
def test_what_no_cluster_could_have_is_refused(
    kubectl_flow: Call, tmp_path: Path, source: str, arguments: tuple[str, ...], code: int, what: str
) -> None:
    file = tmp_path / "flow.py"
    file.write_text(source)
    said = kubectl_flow("render", str(file), *arguments)
    assert (said.code, said.out) == (code, "")
    assert what in said.err


def test_variables_of_this_machine_are_named(
    kubectl_flow: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_TOKEN", "hunter2")
    file = tmp_path / "flow.py"
    file.write_text(
        "import os\nfrom flow_operator import flow, storage\n"
        "variables = {'TZ': 'Europe/Berlin', 'TOKEN': os.environ['TEST_TOKEN']}\n"
        "@flow(storage=storage.Docker('r', env_vars=variables))\ndef flow(): return 1\n"
    )
    for command in (("render",), ("deploy", "--dry-run", "-q")):
        said = kubectl_flow(*command, str(file))
        assert said.code == 0
        assert said.err == (
            "Warning: TOKEN of env_vars: its value comes from this machine and is written in clear; "
            "if it is secret, use spec.runner.env with valueFrom.\n"
        )
    assert kubectl_flow("render", str(file), "--build", "none").err == ""


def test_a_schedule_may_have_its_parameter_from_here(kubectl_flow: Call, tmp_path: Path) -> None:
    file = tmp_path / "flow.py"
    file.write_text("from flow_operator import flow\n@flow(schedule='0 6 * * *')\ndef flow(n): return n\n")
    assert rendered(kubectl_flow, str(file), "-p", "n=1")["spec"]["parameters"] == {"n": 1}


def test_names(tmp_path: Path) -> None:
    odd, plain = tmp_path / "my flow!.py", tmp_path / "etl.py"
    assert source.file_name(odd) == "flow.py"
    assert source.name_for(plain, "flow", Declared(), Wishes()) == "etl"
    assert source.name_for(plain, "daily", Declared(), Wishes()) == "daily"
    assert source.name_for(plain, "flow", Declared({"name": "Ünï codé"}), Wishes()) == "uni-code"


def test_an_image_that_was_built_here(tmp_path: Path) -> None:
    image = f"registry.example.com/x@sha256:{'a' * 64}"
    made = source.flow_deployment(tmp_path / "etl.py", "flow", Declared(), Wishes(), image)
    assert made["spec"] == {"flow": {"image": {"reference": image, "location": "/flows/etl.py:flow"}}}


def test_an_image_that_is_built_here_is_as_declared(tmp_path: Path) -> None:
    file = tmp_path / "etl.py"
    file.write_text(
        "from flow_operator import flow\n"
        "from flow_operator.environments import DaskKubernetesEnvironment as Dask\n"
        "from flow_operator.storage import Docker\n"
        "@flow(storage=Docker('r', builder='Docker'), environment=Dask(private_registry=True, docker_secret='mine'))\n"
        "def flow(): return 1\n"
    )
    target = loading.Target.of(str(file))
    declared = loading.describe(target).declared
    assert declared.arguments["builder"] == "Docker"
    image = f"registry.example.com/x@sha256:{'a' * 64}"
    made = source.flow_deployment(file, "flow", declared, Wishes(build="here"), image)
    assert made["spec"]["flow"]["image"]["pullSecret"] == "mine"
    file.write_text("from flow_operator import flow, storage\n@flow(storage=storage.Docker())\ndef flow(): return 1\n")
    assert "builder" not in loading.describe(target).declared.arguments


def test_a_dry_run_of_an_engines_build_is_refused_before_it(
    kubectl_flow: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack, "build_image", lambda *_, **__: pytest.fail("built"))
    file = tmp_path / "etl.py"
    file.write_text(
        "from flow_operator import flow, storage\n"
        "@flow(storage=storage.Docker('r.example.com', builder='Docker'))\ndef flow(): return 1\n"
    )
    said = kubectl_flow("deploy", str(file), "--dry-run", "--build", "here")
    assert said.code == 1
    assert "an engine learns it when it pushes" in said.err


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    file = tmp_path / "flow.py"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(DeployRefused, match="not UTF-8"):
        source.flow_deployment(file, "flow", Declared(), Wishes())


def test_yaml_keeps_order_and_blocks() -> None:
    assert as_yaml({"b": "x\ny\n", "a": [1, {"c": ""}]}) == "b: |\n  x\n  y\na:\n  - 1\n  - c: ''\n"


# deploy


def ready(server: ApiServer, **status: Any) -> None:
    """Let the operator make every FlowDeployment ready as soon as somebody waits for it."""

    def react(plural: str) -> None:
        if plural == "flowdeployments":
            for (kind, *_), each in list(server.objects.items()):
                if kind == plural:
                    condition = {"type": "Ready", "status": "True", "reason": "Ready", "message": "Ready."}
                    seen = {"observedGeneration": each["metadata"]["generation"], "conditions": [condition]}
                    server.put({**each, "status": {**seen, **status}})

    server.after_watch = react


def test_deploy_applies_and_waits(kubectl_flow: Call, server: ApiServer, file: str) -> None:
    ready(server, image="registry.example.com/x@sha256:abc")
    said = kubectl_flow("deploy", f"{file}:squares")
    assert said.code == 0
    made = server.objects["flowdeployments", "team-a", "my-squares"]
    assert made["spec"]["flow"]["entrypoint"] == "squares.py:squares"
    assert said.out.splitlines()[0] == "flowdeployment.flow-operator.io/my-squares is ready"
    assert "registry.example.com/x@sha256:abc" in said.out
    assert f"{made['metadata']['uid']}.1" in said.out
    assert "Applied FlowDeployment my-squares in namespace team-a." in said.err
    assert any("fieldManager=flow-operator-deploy" in each for each in server.requests)


def test_deploy_tells_machines(kubectl_flow: Call, server: ApiServer, file: str) -> None:
    ready(server)
    said = kubectl_flow("deploy", f"{file}:squares", "-o", "json", "-q")
    assert said.err == "a module may print\n"
    assert json.loads(said.out)["status"]["conditions"][0]["reason"] == "Ready"


def test_deploy_into_a_project(kubectl_flow: Call, server: ApiServer, file: str) -> None:
    project = {labels.PROJECT: "my-first-project"}
    server.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "mfp", "labels": project}})
    said = kubectl_flow("deploy", f"{file}:squares", "--project", "My First Project", "--no-wait")
    assert said.code == 0
    assert server.objects["flowdeployments", "mfp", "my-squares"]["metadata"]["labels"] == project
    unknown = kubectl_flow("deploy", f"{file}:squares", "--project", "Another")
    assert unknown.code == 2
    assert "There is no project 'Another' in this cluster." in unknown.err
    assert 'kubectl flow project create "Another"' in unknown.err


def test_a_deploy_that_fails(kubectl_flow: Call, server: ApiServer, file: str) -> None:
    stalled = {"type": "Stalled", "status": "True", "reason": "DependencyNotFound", "message": "x"}
    why = {"reason": "DependencyNotFound", "message": "There is no package numpi.", "remedy": "Check the spelling."}
    ready(server, conditions=[stalled], diagnosis=why)
    said = kubectl_flow("deploy", f"{file}:squares")
    assert said.code == 1
    assert "There is no package numpi.\nCheck the spelling.\n" in said.err


def test_a_deploy_that_takes_too_long(kubectl_flow: Call, server: ApiServer, file: str) -> None:
    said = kubectl_flow("deploy", f"{file}:squares", "--timeout", "0.2")
    assert said.code == 124
    assert "The operator has not looked at FlowDeployment my-squares" in said.err


def test_a_dry_run_asks_no_cluster(kubectl_flow: Call, file: str) -> None:
    said = kubectl_flow("deploy", f"{file}:squares", "--dry-run")
    assert said.code == 0
    assert yaml.safe_load(said.out)["kind"] == "FlowDeployment"


@pytest.mark.parametrize("place", [(), ("-n", "staging")])
def test_a_dry_run_prints_what_render_prints(kubectl_flow: Call, file: str, place: tuple[str, ...]) -> None:
    options = (f"{file}:squares", "--project", "My First Project", *place)
    said = kubectl_flow("deploy", *options, "--dry-run")
    assert said.out == kubectl_flow("render", *options).out
    assert yaml.safe_load(said.out)["metadata"]["namespace"] == (place[-1] if place else "my-first-project")


# project


def test_projects(kubectl_flow: Call, server: ApiServer) -> None:
    assert "There are no projects." in kubectl_flow("project", "list").err
    said = kubectl_flow("project", "create", "My First Project")
    assert said.out == "Project 'My First Project' is namespace my-first-project.\n"
    assert kubectl_flow("project", "create", "My First Project", "-n", "staging", "-q").out == "staging\n"
    listed = kubectl_flow("project", "list").out.splitlines()
    assert listed[0].split() == ["PROJECT", "NAMESPACE", "AGE"]
    assert [line.split()[3] for line in listed[1:]] == ["my-first-project", "staging"]
    named = kubectl_flow("project", "list", "-o", "name").out.splitlines()
    assert named == ["namespace/my-first-project", "namespace/staging"]
    assert kubectl_flow("project").code == 0


def test_a_project_does_not_take_another_ones_namespace(kubectl_flow: Call, server: ApiServer) -> None:
    assert kubectl_flow("project", "create", "One").code == 0
    said = kubectl_flow("project", "create", "Other", "-n", "one")
    assert said.code == 2
    assert "Namespace 'one' is of project 'one'." in said.err
    assert "kubectl label namespace one flow-operator.io/project-" in said.err
    assert server.objects["namespaces", "", "one"]["metadata"]["labels"] == {labels.PROJECT: "one"}


def test_what_a_flow_says_of_itself_is_utf_8_everywhere(kubectl_flow: Call, tmp_path: Path) -> None:
    file = tmp_path / "flow.py"
    file.write_text("raise ValueError('Größe')\n", encoding="utf-8")
    program = [sys.executable, "-m", "flow_operator.deploy", "render", str(file)]
    environment = {
        **os.environ,
        "LC_ALL": "C",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONUTF8": "0",
        "PYTHONIOENCODING": "utf-8",
    }
    done = subprocess.run(program, env=environment, capture_output=True, check=False)
    assert done.returncode == 1
    assert "ValueError: Größe" in done.stderr.decode()
