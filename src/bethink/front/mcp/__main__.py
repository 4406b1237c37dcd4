"""`python -m bethink.front.mcp` is `bethink mcp`."""

import sys

from bethink.front.mcp import main

sys.exit(main())
