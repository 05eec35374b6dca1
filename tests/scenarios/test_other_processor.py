"""The same days on an older processor: numpy without its wide instructions decides the same bytes."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.model.context import RunKind
from tests.factories import DAYS, days_run, new_world, run_day, step_outputs
from tests.shared_data import REPOSITORY

COMPARED = DAYS[:2]
SCRIPT = """
import json, sys
from pathlib import Path
from tests.scenarios.test_other_processor import enabled_features, run_digests
print(json.dumps({"features": enabled_features(), "digests": run_digests(Path(sys.argv[1]))}))
"""


def enabled_features() -> list[str]:
    """Return what numpy would use beyond its baseline, on this processor and with this environment."""
    from numpy._core import _multiarray_umath as core

    return [name for name in core.__cpu_dispatch__ if core.__cpu_features__[name]]


def digests(home: Path) -> dict[str, str]:
    """Return the digest of every decision of the days in a FUND_HOME."""
    world = new_world(home)
    try:
        return {
            f"{day} {kind.value} {step}": hashlib.sha256(output).hexdigest()
            for day in COMPARED
            for kind in RunKind
            for step, output in step_outputs(world, day, kind).items()
        }
    finally:
        world.close()


def run_digests(home: Path) -> dict[str, str]:
    """Run the days, then return the digests of their decisions."""
    world = new_world(home)
    for day in COMPARED:
        run_day(world, day)
    world.close()
    return digests(home)


def test_decisions_are_the_same_bytes_without_wide_instructions(tmp_path: Path) -> None:
    wide = enabled_features()
    if not wide:
        pytest.skip("this processor has nothing beyond numpy's baseline")
    environment = {
        **os.environ,
        "NPY_DISABLE_CPU_FEATURES": " ".join(wide),
        "OPENBLAS_CORETYPE": "Nehalem",  # the oldest kernels, without AVX
    }

    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        env=environment,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )

    told = json.loads(done.stdout.splitlines()[-1])
    expected = digests(days_run().home)
    assert told["features"] == []
    assert len(expected) > 20
    assert {name for name in expected if told["digests"].get(name) != expected[name]} == set()
    assert told["digests"].keys() == expected.keys()
