"""`python -m bethink.front.mcp` is `bethink mcp`."""

import os
import sys

from bethink.front.mcp import main

# As in bethink.front.cli, before NumPy loads.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.exit(main())
