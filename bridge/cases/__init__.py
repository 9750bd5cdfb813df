"""Published cases: how each printed number is computed from fits and data, and its state.

A printed number of a case, a row of its published.csv, is computed by the first rule that fits:

1. the table ``[quantities."<parameter>"]`` of case.toml: a function registered by
   `bridge.cases.numbers.quantity` (``compute``, its arguments beside it), or a ``parameter`` or
   ``statistic`` of another ``fit``;
2. a statistic of the main fit: DIC, loglik, deviance, aic, bic, n_parameters, n_obs, n_groups;
3. a parameter of the main fit, by its canonical name.

Each engine of the case has a column of its own; ``"data"`` is that of numbers described from the
rows, ``"print"`` that of numbers that follow from other printed ones.
"""
