"""`python -m jobs JOB ...`."""

import sys

from jobs.cli import main

sys.exit(main())
