"""Orchestration: the pipeline as a Prefect flow, and commits compared."""

import os

# Prefect's usage reporting is off unless asked.
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
