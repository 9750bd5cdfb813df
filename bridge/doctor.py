"""What runs here, in which version, and the one command that mends what does not.

Nothing is started but one short ``Rscript`` that reads version numbers: neither rpy2, nor
Stan, nor a compiler.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from bridge.engines import stan_backends

#: R packages of each engine in R; brms compiles, so it needs a compiler and Boost too.
R_PACKAGES = {
    "lme4": ("lme4", "jsonlite"),
    "nlme": ("nlme", "jsonlite"),
    "brms": ("brms", "rstan", "jsonlite"),
}
RPY2 = ("rpy2", "rpy2-rinterface", "rpy2-robjects")
#: Libraries that come with this package, of the engines that stand on one.
LIBRARIES = {"ols": ("statsmodels",), "nuts": ("nutpie", "numba")}
ENGINES = ("agq", *R_PACKAGES, "ols", "twostep", "stan", "nuts", "fake")

_PIP_R = 'pip install "mlm-bridge[r]"'
_PIP_STAN = 'pip install "mlm-bridge[stan]"'
# The last release of rpy2's halves that loads against R < 4.5.
_LAST_FOR_OLD_R = (3, 6, 4)
_NEW_R = (4, 5)
_VERSIONS_R = """
options(warn = -1)
cat("R", paste(R.version$major, R.version$minor, sep = "."), "\n")
for (p in commandArgs(TRUE)) if (nzchar(system.file(package = p))) {
    cat(p, utils::packageDescription(p, fields = "Version"), "\n")
}
"""


@dataclass(frozen=True)
class EngineStatus:
    """Whether an engine can run here.

    Attributes
    ----------
    engine : str
        Its name.
    ready : bool
        Whether all that it needs is here.
    versions : dict of str to str
        What was found, with its version.
    missing : str
        What was not found; empty where ready.
    mend : str
        The one command that installs it; empty where ready.
    """

    engine: str
    ready: bool
    versions: dict[str, str] = field(default_factory=dict)
    missing: str = ""
    mend: str = ""


def check(timeout: float = 30.0) -> list[EngineStatus]:
    """Look for every engine that needs more than this package.

    Parameters
    ----------
    timeout : float
        Seconds that R may take to say its versions.

    Returns
    -------
    list of EngineStatus
        One an engine, in the order of `ENGINES`.
    """
    found, trouble = r_versions(timeout)
    statuses = [_r_engine(engine, found, trouble) for engine in R_PACKAGES]
    own = {"bridge": own_version()}
    agq, two_step, fake = (
        EngineStatus(engine, ready=True, versions=own) for engine in ("agq", "twostep", "fake")
    )
    ols, nuts = (_python_engine(engine) for engine in LIBRARIES)
    return [agq, *statuses, ols, two_step, _stan_engine(), nuts, fake]


def own_version() -> str:
    """Return the version of this package, or "not installed" where it runs from a folder."""
    return _version("mlm-bridge") or "not installed"


def r_versions(timeout: float = 30.0) -> tuple[dict[str, str], str]:
    """Ask R for its version and those of its packages, without loading any.

    Parameters
    ----------
    timeout : float
        Seconds that R may take.

    Returns
    -------
    versions : dict of str to str
        ``R`` and each package that is installed; empty where there is no R.
    trouble : str
        Why R did not answer; empty where it did.
    """
    program = _rscript()
    if program is None:
        return {}, "R is not installed"
    packages = sorted({package for needed in R_PACKAGES.values() for package in needed})
    command = [program, "--vanilla", "-e", _VERSIONS_R, *packages]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, check=True
        ).stdout
    except subprocess.TimeoutExpired:
        return {}, f"R did not answer within {timeout:g} seconds"
    except (OSError, subprocess.CalledProcessError) as error:
        words = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        return {}, f"R does not start ({words[-1] if words else 'no message'})"
    lines = (line.split() for line in answer.splitlines())
    return {words[0]: words[1] for words in lines if len(words) == 2}, ""


def _rscript() -> str | None:
    """Return the path of Rscript: R_HOME's, else the one on the path."""
    home = os.environ.get("R_HOME")
    if home and (program := Path(home) / "bin" / "Rscript").is_file():
        return str(program)
    return shutil.which("Rscript")


def _r_engine(engine: str, found: dict[str, str], trouble: str) -> EngineStatus:
    """Return the status of an engine in R."""
    needed = R_PACKAGES[engine]
    versions = {name: found[name] for name in ("R", *needed) if name in found}
    versions |= {name: version for name in RPY2[:1] if (version := _version(name))}
    lacking = [package for package in needed if package not in found]
    missing, commands = [], []
    if trouble:
        missing.append(trouble)
        commands.append(_install_r(["r-base-core", "r-base-dev"], lacking))
    elif lacking:
        missing.append(f"R packages that are not installed: {', '.join(lacking)}")
        commands.append(_install_r([], lacking))
    if engine == "brms" and shutil.which("g++") is None:
        missing.append("no C++ compiler (g++) is on the path")
        commands.append(_install_compiler())
    if words := _rpy2_trouble(found.get("R", "")):
        missing.append(words)
        commands.append(_PIP_R)
    return EngineStatus(
        engine,
        ready=not missing,
        versions=versions,
        missing="; ".join(missing),
        mend=" && ".join(commands),
    )


def _rpy2_trouble(r: str) -> str:
    """Return what is wrong with rpy2 for this R, without importing it."""
    for name in RPY2:
        version = _version(name)
        if version is None:
            return f"{name} is not installed"
        # Its halves are pinned by nobody, and a newer one needs functions of a newer R.
        if name != "rpy2" and r and _numbers(version) > _LAST_FOR_OLD_R and _numbers(r) < _NEW_R:
            return f"{name} {version} does not load against R {r}"
    return ""


def _stan_engine() -> EngineStatus:
    """Return the status of Stan: CmdStan or PyStan, and a compiler."""
    backends = stan_backends.available()
    versions = {name: text for name, text in backends.items() if not text.startswith("not ")}
    missing, commands = [], []
    if not versions:
        missing.append("neither CmdStan nor PyStan is installed")
        commands.append(_PIP_STAN)
    if shutil.which("g++") is None:
        missing.append("no C++ compiler (g++) is on the path")
        commands.append(_install_compiler())
    return EngineStatus(
        "stan",
        ready=not missing,
        versions=versions,
        missing="; ".join(missing),
        mend=" && ".join(commands),
    )


def _python_engine(engine: str) -> EngineStatus:
    """Return the status of an engine on libraries that come with this package."""
    versions = {name: _version(name) for name in LIBRARIES[engine]}
    lacking = [name for name, version in versions.items() if version is None]
    return EngineStatus(
        engine,
        ready=not lacking,
        versions={name: version for name, version in versions.items() if version},
        missing=f"{' and '.join(lacking)} not installed" if lacking else "",
        mend=f"pip install {' '.join(lacking)}" if lacking else "",
    )


def _install_r(debian: list[str], packages: list[str]) -> str:
    """Return the command that installs R or R packages on this machine."""
    if shutil.which("apt-get"):
        names = [*debian, *(f"r-cran-{package.lower()}" for package in packages)]
        return f"apt-get install {' '.join(names)}"
    quoted = ", ".join(f"'{package}'" for package in packages)
    install = f'Rscript -e "install.packages(c({quoted}))"'
    return f"install R, then: {install}" if debian else install


def _install_compiler() -> str:
    """Return the command that installs a C++ compiler on this machine."""
    return "apt-get install g++" if shutil.which("apt-get") else "install a C++ compiler (g++)"


def _version(distribution: str) -> str | None:
    """Return the version of an installed distribution, without importing it."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    """Return the numbers of a version: (4, 2, 2) of "4.2.2"."""
    return tuple(int(part) for part in version.split(".") if part.isdigit())
