"""The HTTP front door: REST, MCP and health of a server for one person or a team."""
