"""The models and data of the contract, and how an engine's answer is kept in two plain files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bridge.engines.base import Plan, RawFit
from bridge.spec import ModelSpec

STORED = Path(__file__).resolve().parent / "stored"

#: Labels that sort otherwise than they appear, read alike, or would be code elsewhere.
GROUPS = ("b", "01", "1", "ü ö", 'x"); stop("', "two\nlines", "Ab", "a/b")

_RANDOM = ("score ~ 1 + x + f + (1 + x | s | school)", "~ 1 + x + (1 | s | school)")
MODELS: dict[str, tuple[str, str]] = {
    "agq": _RANDOM,
    "lme4": ("score ~ 1 + x + f + (1 + x | school)", "~ 1"),
    "nlme": ("score ~ 1 + x + f + (1 + x | school)", "~ 1 + f + x"),
    "ols": ("score ~ 1 + x + f", "~ 1"),
    "twostep": (_RANDOM[0], "~ 1 + cvar(x, school) + (1 | s | school)"),
    "brms": _RANDOM,
    "stan": _RANDOM,
    "nuts": _RANDOM,
    "fake": _RANDOM,
}
ML = ("agq", "lme4", "nlme", "ols")
#: Engines that give estimates and no draws.
POINTS = (*ML, "twostep")


def data() -> pd.DataFrame:
    """Return 8 groups of 6 rows in mixed order, and a row more that is dropped."""
    rng = np.random.default_rng(20)
    group = np.repeat(np.arange(8), 6)
    x = np.tile(np.linspace(-1, 1, 6), 8) + rng.normal(0, 0.2, 48)
    u = rng.multivariate_normal([0, 0], [[4.0, 0.8], [0.8, 1.0]], 8)
    f = np.where(rng.random(48) < 0.5, "high", "a low one")
    sigma = np.exp(0.5 * (-0.5 + 0.6 * (f == "high") + 0.4 * rng.normal(size=8)[group]))
    mean = 10 + 2 * x + 1.5 * (f == "high") + u[group, 0] + u[group, 1] * x
    frame = pd.DataFrame(
        {
            "score": mean + sigma * rng.normal(size=48),
            "x": x,
            "f": f,
            "school": np.array(GROUPS, dtype=object)[group],
        }
    )
    frame = frame.iloc[rng.permutation(48)]
    extra = frame.iloc[[0]].assign(x=np.nan)
    frame = pd.concat([frame.iloc[:10], extra, frame.iloc[10:]])
    frame.index = pd.Index([f"row {i}" for i in range(49)])
    return frame


def options(engine: str) -> dict[str, Any]:
    """Return the options of the stored fits."""
    if engine in POINTS:
        return {}
    return {"chains": 2, "draws": 50, "warmup": 100, "seed": 1, "cores": 1}


def plan(engine: str) -> Plan:
    """Return the plan of an engine's stored fit."""
    mean, variance = MODELS[engine]
    return ModelSpec(mean, variance).translate(engine, data(), **options(engine))


# --- files ---------------------------------------------------------------------------------
def write(engine: str, raw: RawFit, native: str) -> None:
    """Keep an answer: the arrays in <engine>.npz, all else in <engine>.json."""
    arrays: dict[str, np.ndarray] = {}
    kept = {
        "native": native,
        "values": _pack(raw.values, arrays),
        "versions": dict(raw.versions),
        "warnings": list(raw.warnings),
        "messages": list(raw.messages),
        "seconds": dict(raw.seconds),
    }
    text = json.dumps(kept, indent=1, ensure_ascii=False, sort_keys=True)
    (STORED / f"{engine}.json").write_text(text + "\n", encoding="utf-8")
    np.savez_compressed(STORED / f"{engine}.npz", **arrays)


def read(engine: str) -> tuple[RawFit, str]:
    """Return a stored answer and the native call that it answers."""
    kept = json.loads((STORED / f"{engine}.json").read_text(encoding="utf-8"))
    with np.load(STORED / f"{engine}.npz", allow_pickle=False) as arrays:
        values = _unpack(kept["values"], arrays)
    raw = RawFit(
        values,
        kept["versions"],
        tuple(kept["warnings"]),
        tuple(kept["messages"]),
        kept["seconds"],
    )
    return raw, kept["native"]


def _pack(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, np.ndarray):
        if value.dtype == object:
            return _pack(value.tolist(), arrays)
        key = f"a{len(arrays)}"
        arrays[key] = value
        return {"__array__": key}
    if isinstance(value, Mapping):
        return {str(k): _pack(v, arrays) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_pack(v, arrays) for v in value]
    return value.item() if isinstance(value, np.generic) else value


def _unpack(value: Any, arrays: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {"__array__"}:
            return arrays[value["__array__"]]
        return {k: _unpack(v, arrays) for k, v in value.items()}
    return [_unpack(v, arrays) for v in value] if isinstance(value, list) else value
