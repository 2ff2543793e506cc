"""`python -m export`: `lacuna-export` where nothing is installed."""

import sys

from export.cli import main

sys.exit(main())
