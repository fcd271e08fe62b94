"""Models × precisions × opsets × providers × batches, each a bundle: `netloft matrix`.

`plan` reads the file, `cell` does one cell, `pool` and `dask_pool` run many, `summary` tells.
"""
