"""Make the stored fits of the contract anew with the real engines.

    python tests/contract/regenerate.py [ENGINE ...]

Without names, every engine but the fake one. Needs R with brms, lme4 and nlme, and CmdStan or
PyStan; takes some minutes. Run it after a change of what an engine's worker answers.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import contract_cases as cases

from bridge.engines import registry


def main(engines: list[str]) -> None:
    """Fit and keep."""
    for engine in engines:
        plan = cases.plan(engine)
        raw = registry.get(engine).run(plan, lambda share, text: None)
        registry.get(engine).harmonise(raw, plan)
        # of Stan's text the comment alone is kept: the program is in the repository
        native = plan.native.split("\n\n", maxsplit=1)[0] if engine == "stan" else plan.native
        cases.write(engine, raw, native)
        print(f"{engine}: {', '.join(f'{k} {v}' for k, v in raw.versions.items())}")


if __name__ == "__main__":
    main(sys.argv[1:] or [name for name in registry.ENGINES if name != "fake"])
