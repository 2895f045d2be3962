"""``python -m tokdyn`` is ``tokdyn``."""

import sys

from tokdyn.cli import main

sys.exit(main())
