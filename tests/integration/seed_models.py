"""Every model of High School and Beyond (Leckie et al. 2014) and of the exam data (slides)."""

from __future__ import annotations

import bridge

_MEAN = "normexam ~ 1 + standlrt + girl"
_SLOPE = f"{_MEAN} + (1 + standlrt | s | school)"
EXAM = {
    "exam/model1": ("normexam ~ 1 + (1 | school)", "~ 1"),
    "exam/model2": ("normexam ~ 1 + (1 | s | school)", "~ 1 + (1 | s | school)"),
    "exam/model3": (f"{_MEAN} + (1 | s | school)", "~ 1 + (1 | s | school)"),
    "exam/model4": (_SLOPE, "~ 1 + (1 | s | school)"),
    "exam/model5": (_SLOPE, "~ 1 + standlrt + girl + (1 | s | school)"),
    "exam/model6": (_SLOPE, "~ 1 + standlrt + girl + (1 + standlrt | s | school)"),
}
HSB = [f"leckie2014/model{number}" for number in (1, 2, 3, 4)]


def spec_of(name: str) -> tuple[bridge.ModelSpec, str]:
    """A model and the name of its data."""
    if name in EXAM:
        return bridge.ModelSpec(*EXAM[name]), "exam"
    case = bridge.published(name)
    return bridge.ModelSpec.from_dict(case.spec), case.data
