"""The repository is laid out as agreed, and its locks can be installed anywhere (ARCH-02)."""

import importlib.util
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.architecture.source_tree import LAYERS
from tests.shared_data import REPOSITORY

LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-ib-async.lock")
PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(\[[^]]*\])?==(?P<version>[^ ;\\]+)(?P<marker>[^\\]*)")


def pins(lock: str) -> dict[str, str]:
    """Return name and marker to version, for every requirement of a lock."""
    found = [PIN.match(line) for line in (REPOSITORY / lock).read_text().splitlines()]
    return {f"{pin['name']} {pin['marker'].strip()}": pin["version"] for pin in found if pin}


@pytest.mark.parametrize(
    "name",
    [
        "flows",
        "tasks",
        "engine",
        "config",
        "state",
        "tests",
        "prefect.yaml",
        "docker-compose.yml",
        "pyproject.toml",
    ],
)
def test_top_level_has_what_the_design_names(name: str) -> None:
    assert (REPOSITORY / name).exists()


@pytest.mark.parametrize("package", [*LAYERS, "tests"])
def test_package_is_found_in_the_repository_and_not_in_a_third_party(package: str) -> None:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin == str(REPOSITORY / package / "__init__.py")


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_names_no_address(lock: str) -> None:
    text = (REPOSITORY / lock).read_text()
    assert re.findall(r"(?i)\b(?:https?|file|ssh|git)[:+]|--(?:extra-)?index-url|--find-links", text) == []


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_of_a_lock_carries_hashes(lock: str) -> None:
    blocks = re.split(r"\n(?=\S)", (REPOSITORY / lock).read_text().strip())
    assert [block.split()[0] for block in blocks if "--hash=sha256:" not in block] == []


def test_development_lock_is_a_superset_with_identical_pins() -> None:
    run, development = pins("requirements.lock"), pins("requirements-dev.lock")
    assert len(run) > 50
    assert {name: development.get(name) for name in run} == run


def test_successor_of_the_client_library_has_a_lock_of_its_own() -> None:
    second = {name.split()[0] for name in pins("requirements-ib-async.lock")}
    both = {name.split()[0] for name in pins("requirements-dev.lock")}
    assert "ib-async" in second - both
    assert "ib-insync" in both - second


def test_no_lock_that_names_a_registry_is_tracked() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "uv.lock", "pylock*.toml", "*/uv.lock"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    if tracked.returncode:
        pytest.skip("not a git working tree")
    assert tracked.stdout.split() == []


def test_every_dependency_is_pinned_by_its_lock_and_gives_its_reason() -> None:
    lines = (REPOSITORY / "pyproject.toml").read_text().splitlines()
    declared = [line for line in lines if re.match(r'^  "[a-zA-Z0-9_-]+(==|>=)', line)]
    names = {re.sub(r"[-_.]+", "-", re.split(r"[=><]", line.strip(' ",'))[0]).lower() for line in declared}
    locked = {re.sub(r"[-_.]+", "-", pin.split()[0]).lower() for pin in pins("requirements-dev.lock")}
    assert len(declared) > 20
    assert [line for line in declared if "# " not in line] == []
    assert names - locked == set()


def test_project_is_an_application_that_declares_no_package() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    assert project["tool"]["setuptools"]["packages"] == []
    assert "build-system" not in project


def test_deployments_name_modules_and_never_files() -> None:
    deployments = yaml.safe_load((REPOSITORY / "prefect.yaml").read_text())["deployments"]
    entrypoints = [deployment["entrypoint"] for deployment in deployments]
    assert len(entrypoints) == len(set(entrypoints))
    assert [entry for entry in entrypoints if not re.fullmatch(r"flows(\.[a-z_]+){2}", entry)] == []


@pytest.mark.parametrize(
    "path",
    sorted(path for layer in LAYERS for path in (REPOSITORY / layer).rglob("*.py")),
    ids=lambda path: str(path.relative_to(REPOSITORY)),
)
def test_module_stays_under_the_ceiling_of_400_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400


def test_compose_file_opens_ports_on_this_machine_only_and_pins_its_images() -> None:
    services = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())["services"]
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert {"postgres", "prefect-server", "worker"} <= set(services)
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []
    assert [name for name, service in services.items() if "healthcheck" not in service] == []
    assert [name for name, service in services.items() if service["user"] in {"root", "0", "0:0"}] == []
    assert [
        name for name, service in services.items() if ":" not in service["image"].removesuffix(":latest")
    ] == []
