"""Small cases, written as files, for the tests of `bridge validate`."""

from __future__ import annotations

from pathlib import Path

from bridge.published_tables import PublishedTable, load

CASE = """title = "Ratings over weeks"
source = "A book, page 1"
data = "reisby"
notes = ["A note with | in it."]
[spec]
mean = "hamdep ~ 1 + week + (1 | id)"
[fits.flat]
mean = "hamdep ~ 1 + (1 | id)"
[settings]
method = "posterior"
[engines.fake]
chains = 2
draws = 200
seed = 1
[quantities."constant of flat"]
parameter = "gamma[Intercept]"
fit = "flat"
"""
HEAD = "parameter,statistic,value,page,scale,software\n"
TABLE = HEAD + (
    "gamma[week],mean,-2.4,1,outcome,S\n"
    "gamma[week],sd,0.2,1,outcome,S\n"
    "constant of flat,mean,17.7,2,outcome,S\n"
    "DIC,value,2000,2,deviance,S\n"
)


def make_case(
    root: Path, case: str = CASE, table: str = TABLE, name: str = "book/one"
) -> PublishedTable:
    """Write a case and read it."""
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "case.toml").write_text(case, encoding="utf-8")
    (folder / "published.csv").write_text(table, encoding="utf-8")
    return load(name, root)
