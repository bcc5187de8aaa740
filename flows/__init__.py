"""Orchestration: the DVC graph as a Prefect flow, and what changed between two commits."""

import os

# Prefect reports its usage to its makers; here that is off unless one asks for it.
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
