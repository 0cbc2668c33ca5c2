"""`python -m dashboards`: the web process."""

import sys

from dashboards.serve import main

sys.exit(main())
