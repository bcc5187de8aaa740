"""The work: one door (a module with ``main``) per DVC stage, and the rooms that the doors call."""
