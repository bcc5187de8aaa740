"""The library that stages and flows share: a package per concern, from `core` up to `comparison`."""

import gc
import os

# PyTorch's threads (libgomp) spin while they wait for each other, which takes CPU time from other processes:
# on two busy cores a network then takes 87 ms an image instead of 20. It has to be set before torch is
# loaded, and costs nothing on an idle machine.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")

# Importing PyTorch makes a million objects, none of them garbage: looking for it is a tenth of a short stage.
gc.set_threshold(50_000)
