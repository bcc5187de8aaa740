"""The work: one door (a module with ``main``) per DVC stage, and the rooms that the doors call."""

import os

# PyTorch's threads (libgomp) spin while they wait for each other. Beside other work they would spin away the
# very time that the others need: on two busy cores a network then takes 87 ms an image instead of 20. It has
# to stand before torch is loaded, and costs nothing on an idle machine.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
