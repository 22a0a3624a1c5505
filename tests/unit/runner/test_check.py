"""`runner check`: facts of a flow, or a sentence that names the culprit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from flow_operator import Flow, Parameter, task
from flow_operator.api import wire
from flow_operator.environments import DaskKubernetesEnvironment
from flow_operator.flow.pickling import dumps
from flow_operator.runner import check

if TYPE_CHECKING:
    from pathlib import Path

FLOW = """
from flow_operator import flow
from flow_operator.environments import DaskKubernetesEnvironment
@flow(name="Squares", environment=DaskKubernetesEnvironment(max_workers=4, labels=["a"], on_exit=lambda: None))
def squares(m: int, n: int = 10, where=object()): ...
"""


class Image:
    """Files, and what the check program says of them."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home = home
        self.monkeypatch = monkeypatch
        monkeypatch.setenv("FLOW_OPERATOR_TERMINATION_LOG", str(home / "message"))
        monkeypatch.syspath_prepend(home)  # restores sys.path

    def check(self, source: str | bytes, attribute: str = "squares", name: str = "a_flow.py", **request: Any) -> Any:
        """Write a file and check it."""
        (self.home / name).write_bytes(source if isinstance(source, bytes) else source.encode())
        asked = {"flow": {"location": str(self.home / name), "attribute": attribute}, **request}
        self.monkeypatch.setenv("FLOW_OPERATOR_CHECK", json.dumps(asked))
        code = check.main()
        report = json.loads((self.home / "message").read_text())
        assert code == (0 if "flow" in report else 1)
        return report


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Image:
    return Image(tmp_path, monkeypatch)


def test_facts(image: Image) -> None:
    facts = image.check(FLOW)["flow"]
    assert facts["name"] == "Squares"
    assert facts["parameters"] == [
        {"name": "m", "required": True},
        {"name": "n", "required": False, "default": 10},
        {"name": "where", "required": False},
    ]
    assert facts["callbacks"] == ["on_exit"]
    assert facts["environment"] == {"daskKubernetes": {"minWorkers": 1, "maxWorkers": 4}, "labels": ["a"]}
    assert set(facts["versions"]) == {"flow-operator", "dask", "distributed", "cloudpickle"}


def test_a_plain_function_is_a_flow(image: Image) -> None:
    facts = image.check("def squares(n=1): ...")["flow"]
    assert (facts["name"], facts["callbacks"]) == ("squares", [])
    assert facts["environment"] == {"remote": {"executor": "Local"}}


def test_a_pickled_flow(image: Image) -> None:
    @task
    def square(x: int) -> int:
        return x * x

    with Flow("Pickled", environment=DaskKubernetesEnvironment(on_start=lambda: None)) as flow:
        square(Parameter("n"))
    facts = image.check(dumps(flow), attribute="", name="pickled.flow")["flow"]
    assert facts["name"] == "Pickled"
    assert facts["parameters"] == [{"name": "n", "required": True}]
    assert facts["callbacks"] == ["on_start"]


@pytest.mark.parametrize(
    ("source", "reason", "words"),
    [
        ("import nowhere.deep", "ImportFailed", "imports 'nowhere', which is not in the image"),
        ("from os import nothing", "ImportFailed", "cannot import name 'nothing'"),
        ("x = ", "ImportFailed", "invalid syntax, line 1"),
        ("raise SystemExit(1)", "ImportFailed", "SystemExit"),
        ("def cubes(): ...\nlimit = 3", "NoSuchFlow", "no 'squares' in a_flow.py; its flows: cubes"),
        ("squares = 3", "NotAFlow", "a_flow.py:squares is not a flow but of type int"),
        ("def squares(*n): ...", "FlowInvalid", "cannot be given by name"),
        ("from flow_operator import *\nwith Flow('a') as squares: Parameter('n')", "FlowInvalid", "no tasks"),
    ],
)
def test_refusals(image: Image, source: str, reason: str, words: str) -> None:
    report = image.check(source)
    assert report["reason"] == reason
    assert words in report["message"]
    assert report["remedy"].endswith(".")


def test_the_author_sees_their_own_line(image: Image) -> None:
    assert image.check("\nprint(undefined)")["error"]["frames"] == ["a_flow.py:2 in <module>"]


def test_bytes_that_are_no_flow(image: Image) -> None:
    assert image.check(b"not a pickle", attribute="", name="x.flow")["reason"] == "UnpicklingFailed"
    assert image.check(b"cnowhere\nthing\n.", attribute="", name="x.flow")["message"] == (
        "x.flow needs 'nowhere', which is not in the image"
    )


def test_all_flows_of_an_image_must_load_and_the_one_that_does_not_is_named(image: Image) -> None:
    (image.home / "other.py").write_text("def cubes(): ...")
    refs = [{"location": str(image.home / "other.py"), "attribute": each} for each in ("cubes", "fourths")]
    assert image.check("def squares(): ...", flows=refs[:1])["flow"]["name"] == "squares"
    report = image.check("def squares(): ...", flows=refs)
    assert report["reason"] == "NoSuchFlow"
    assert "no 'fourths' in other.py" in report["message"]


def test_another_python_is_only_a_warning(image: Image, capsys: pytest.CaptureFixture[str]) -> None:
    facts = image.check("def squares(): ...", python="3.1")["flow"]
    assert not facts["python"].startswith("3.1.")
    assert "written with Python 3.1, the image has" in capsys.readouterr().err
    image.check("def squares(): ...", python=".".join(facts["python"].split(".")[:2]))
    assert "warning" not in capsys.readouterr().err


NEEDY = """
from flow_operator import flow
from flow_operator.environments import DaskKubernetesEnvironment
class Needy(DaskKubernetesEnvironment):
    dependencies = ("json", "nowhere.deep")
@flow(environment=Needy())
def squares(): ...
"""


def test_modules_that_the_environment_needs_must_import(image: Image) -> None:
    report = image.check(NEEDY)
    assert report["reason"] == "EnvironmentDependencyMissing"
    assert "Needy of flow 'squares' needs module 'nowhere.deep'" in report["message"]
    assert "'nowhere'" in report["remedy"]
    assert "flow" in image.check(NEEDY.replace("nowhere.deep", "decimal"))


def test_modules_that_the_resources_environment_needs_must_import_too(image: Image) -> None:
    report = image.check("def squares(): ...", modules={"fargateTask": ["json", "nowhere"]})
    assert report["reason"] == "EnvironmentDependencyMissing"
    assert "spec.environment.fargateTask needs module 'nowhere'" in report["message"]


def test_flows_load_before_modules_are_looked_for(image: Image) -> None:
    (image.home / "other.py").write_text("import nowhere")
    refs = [{"location": str(image.home / "other.py"), "attribute": "cubes"}]
    assert image.check(NEEDY, flows=refs)["reason"] == "ImportFailed"


def test_a_file_that_is_not_there(image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOW_OPERATOR_CHECK", json.dumps({"flow": {"location": "/nowhere/f.py", "attribute": "f"}}))
    assert check.main() == 1
    assert json.loads((image.home / "message").read_text())["reason"] == "NoSuchFlow"


def test_bytes_of_another_python_are_said_to_be_that(image: Image) -> None:
    report = image.check(b"not a pickle", attribute="", name="x.flow", python="3.1")
    assert report["reason"] == "UnpicklingFailed"
    assert "; it was written with Python 3.1, and the image has 3." in report["message"]
    assert report["remedy"].startswith("Use a base image with Python 3.1, or deploy the flow with Python 3.")
    assert "3.1," not in image.check(b"cnowhere\nthing\n.", attribute="", name="x.flow", python="3.1")["remedy"]


def job(count: int) -> str:
    """Return a flow that declares a job spec with so many variables."""
    return (
        "import json, pathlib, tempfile\n"
        "from flow_operator import flow\n"
        "from flow_operator.environments import KubernetesJobEnvironment\n"
        f"env = [{{'name': f'NAME_{{n}}', 'value': f'{{hash((n, n * n)):x}}'}} for n in range({count})]\n"
        "spec = {'template': {'spec': {'containers': [{'name': 'flow', 'env': env}]}}}\n"
        "file = pathlib.Path(tempfile.mkdtemp()) / 'job.yaml'\n"
        "file.write_text(json.dumps(spec))\n"
        "@flow(environment=KubernetesJobEnvironment(file), name='Jobs')\n"
        "def squares(n=1): ...\n"
    )


def test_a_job_spec_of_ordinary_size_is_told_whole(image: Image) -> None:
    facts = image.check(job(80))["flow"]
    assert facts["environment"] == {}
    told = wire.unpack(facts["packedEnvironment"])
    assert len(json.dumps(told)) > 3000
    assert len(told["kubernetesJob"]["jobSpec"]["template"]["spec"]["containers"][0]["env"]) == 80
    assert len((image.home / "message").read_bytes()) <= wire.CHECK_LIMIT


def test_one_that_cannot_be_told_is_refused_with_a_way_out(image: Image) -> None:
    report = image.check(job(2000))
    assert report["reason"] == "EnvironmentTooLarge"
    assert "spec.environment" in report["remedy"]


UNFINISHED = """
from flow_operator import flow
from flow_operator.environments import Environment
class Mine(Environment):
    def __init__(self, size):
        self.size = size
    def execute(self, storage, flow_location, **parameters): ...
@flow(environment=Mine(3))
def squares(): ...
"""


def test_an_environment_that_cannot_say_what_it_is_is_refused_in_words(image: Image) -> None:
    report = image.check(UNFINISHED)
    assert report["reason"] == "EnvironmentInvalid"
    assert "Mine of flow 'squares'" in report["message"]
    assert "AttributeError" in report["message"]
    assert "super().__init__" in report["remedy"]
