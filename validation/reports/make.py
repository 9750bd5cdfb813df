"""Make the two reports that stand here, as a user would, from fits of two engines.

    .venv/bin/python validation/reports/make.py

writes hsb_model4.html (Leckie, French, Charlton & Browne 2014, Model 4: High School and Beyond) and
exam_model6.html (Leckie's slides of 2014, Model 6: Inner London) beside this file: maximum
likelihood by agq and the posterior by nuts with default priors, four chains of 1,000 draws, seed 1.
"""

from __future__ import annotations

import sys
from pathlib import Path

import bridge

HERE = Path(__file__).resolve().parent
#: Page -> case of validation/cases, whose model and data it is of.
PAGES = {"hsb_model4": "leckie2014/model4", "exam_model6": "slides2014/model6"}


def main() -> None:
    """Fit both models by both engines, and write the pages."""
    for page, name in PAGES.items():
        case = bridge.published(name)
        spec, data = case.model(), bridge.datasets.load(case.data)
        fits = [
            bridge.fit(spec, data, engine="agq"),
            bridge.fit(spec, data, engine="nuts", seed=1),
        ]
        bridge.report(*fits, out=HERE / f"{page}.html")
        sys.stdout.write(f"{HERE / page}.html\n")


if __name__ == "__main__":
    main()
