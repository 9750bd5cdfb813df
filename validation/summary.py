"""Copy the counts of validation/report.md into the README."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_BLOCK = re.compile(r"(?<=<!-- summary -->\n).*?(?=<!-- end -->)", re.DOTALL)


def main() -> None:
    """Put the table between the README's markers."""
    readme = ROOT / "README.md"
    found = _BLOCK.search((ROOT / "validation" / "report.md").read_text(encoding="utf-8"))
    if found is None:
        raise SystemExit("validation/report.md has no summary; run: make validate")
    text = readme.read_text(encoding="utf-8")
    readme.write_text(_BLOCK.sub(lambda _: found[0], text, count=1), encoding="utf-8")


if __name__ == "__main__":
    main()
