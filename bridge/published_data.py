"""The rows of a published case."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge import datasets, resources
from bridge.errors import NotAvailable
from bridge.published_files import LONDON, ROWS, SIMULATED

if TYPE_CHECKING:
    import pandas as pd

    from bridge.published_tables import PublishedTable

#: The seed of a simulated London data set that stands for the unpublished one.
_SEED = 1


def data_of(table: PublishedTable) -> pd.DataFrame:
    """Return the rows that a published table is of.

    Parameters
    ----------
    table : PublishedTable
        A case.

    Returns
    -------
    pandas.DataFrame
        The stored rows, or its subset of them; for ``data = "london"`` one simulated data set of
        the model that ``[settings] model`` names (3 where it names none), with seed 1.

    Raises
    ------
    NotAvailable
        Where the case draws its data by a design of its own.
    """
    import pandas as pd

    if table.data == SIMULATED:
        raise NotAvailable(f"'{table.name}' has no data of its own: it draws them in each run.")
    if table.data == LONDON:
        return datasets.simulate(LONDON, _SEED, int(table.settings.get("model", 3)))
    frame = datasets.load(table.data)
    if table.rows is None:
        return frame
    kept = pd.read_csv(resources.path(ROWS[table.rows][1]), header=None)[0]
    return frame[frame["school"].isin(kept)].reset_index(drop=True)
