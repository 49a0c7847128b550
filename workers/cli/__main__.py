"""`python -m workers.cli` is `switchboard`."""

import sys

from workers.cli import main

sys.exit(main())
