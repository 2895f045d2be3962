"""Tables as they occur in practice: spreadsheets saved as text, exports from R and pandas, NumPy arrays, parquet.

``read_table`` reads them and reports what it left out and what it guessed; ``standardised`` scales the columns.
"""

from tokdyn.data.tables.reading import Table, read_table
from tokdyn.data.tables.scale import Standardised, standardised

__all__ = ["Standardised", "Table", "read_table", "standardised"]
