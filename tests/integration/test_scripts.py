"""bridge as people run it: a script without a guard, text piped to Python, the README's example."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import bridge

pytestmark = pytest.mark.r

ROOT = Path(__file__).resolve().parents[2]
# No `if __name__ == "__main__":` here, which multiprocessing's spawn would need.
SCRIPT = """
import bridge

data = bridge.datasets.load("exam")
spec = bridge.ModelSpec("normexam ~ 1 + standlrt + vr + (1 + standlrt | school)")
print(bridge.fit(spec, data, engine="lme4").summary())
"""


def python(folder: Path, *arguments: str, given: str | None = None) -> str:
    """Run Python in a folder of its own; return what it printed, and nothing else may be said."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        input=given,
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.fixture(scope="module")
def expected() -> str:
    data = bridge.datasets.load("exam")
    spec = bridge.ModelSpec("normexam ~ 1 + standlrt + vr + (1 + standlrt | school)")
    return bridge.fit(spec, data, engine="lme4").summary() + "\n"


@pytest.mark.parametrize("how", ["a script", "piped", "as an argument"])
def test_a_script_without_a_guard_prints_the_summary(
    how: str, expected: str, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    if how == "a script":
        (tmp_path / "script.py").write_text(SCRIPT)
        said = python(tmp_path / "elsewhere", str(tmp_path / "script.py"))
    elif how == "piped":
        said = python(tmp_path / "elsewhere", "-", given=SCRIPT)
    else:
        said = python(tmp_path / "elsewhere", "-c", SCRIPT)
    assert said == expected
    assert "Rows: 4059; groups (school): 65" in said
    assert list((tmp_path / "elsewhere").iterdir()) == []


def same_but_for_the_last_digits(said: str, shown: str) -> None:
    """Compare word by word; a number may differ where other processors round otherwise."""
    ours, theirs = said.split(), shown.split()
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        digits = re.fullmatch(r"(-?\d+\.?\d*)[;,]?", other)
        if digits is None:
            assert one == other
        else:
            assert float(one.rstrip(";,")) == pytest.approx(float(digits[1]), rel=2e-3)


def test_the_readmes_example_prints_what_the_readme_shows(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", readme, re.DOTALL)
    shown = re.search(r"<!-- output -->\n```text\n(.*?)```", readme, re.DOTALL)
    assert code is not None and shown is not None
    assert "bridge.fit(" in code[1]
    (tmp_path / "example.py").write_text(code[1], encoding="utf-8")
    said = python(tmp_path, "example.py")
    # the versions are those of the machine
    versions = re.compile(r"(?<=\()numpy \d[^)]*(?=\);)")
    assert len(versions.findall(said)) == len(versions.findall(shown[1])) == 1
    same_but_for_the_last_digits(versions.sub("", said), versions.sub("", shown[1]))
