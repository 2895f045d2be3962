"""Tables as people have them: spreadsheets saved as text, exports of R and pandas, arrays of NumPy, parquet.

``read_table`` reads them, and says what it left out and what it guessed; ``standardised`` puts columns on one scale.
"""

from tokdyn.data.tables.reading import Table, read_table
from tokdyn.data.tables.scale import Standardised, standardised

__all__ = ["Standardised", "Table", "read_table", "standardised"]
