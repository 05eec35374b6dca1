"""Load the ./fund script as a module: it has no suffix, so import does not find it."""

import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType


def load_fund(path: Path) -> ModuleType:
    """Return a fresh module of the script at this path; it takes that folder as its repository."""
    loader = SourceFileLoader("fund_script_under_test", str(path))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = writes
    return module
