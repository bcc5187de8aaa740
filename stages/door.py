"""How every door is opened from the command line: arguments, errors, and the time it took."""

import argparse
import inspect
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

from stages.errors import TemporaryError, UserError
from stages.files import write_json

TIMINGS = Path(".timings")  # not an output of DVC's: times differ from run to run, results must not


def open_door(main: Callable[..., None]) -> None:
    """Run ``main`` with the command line's words as its arguments.

    Exit with 1 on what a person can mend, and with 75 (EX_TEMPFAIL) on what may mend itself, so that whoever
    runs the stage knows that trying again later may help.

    The time and the peak memory go to ``.timings/<stage>@<arguments>.json``, where the report finds them.
    """
    stage = Path(sys.argv[0]).stem
    description = inspect.getdoc(sys.modules["__main__"])
    parser = argparse.ArgumentParser(prog=f"python -m stages.{stage}", description=description)
    for name in inspect.signature(main).parameters:
        parser.add_argument(name)
    arguments = vars(parser.parse_args())
    started = time.monotonic()
    try:
        main(**arguments)
    except UserError as error:
        print(f"{stage}: {error}", file=sys.stderr)
        sys.exit(os.EX_TEMPFAIL if isinstance(error, TemporaryError) else 1)
    except KeyboardInterrupt:
        sys.exit(f"{stage}: stopped; what stood before is untouched")
    TIMINGS.mkdir(exist_ok=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    write_json(
        TIMINGS / ("@".join([stage, *(["-".join(arguments.values())] if arguments else [])]) + ".json"),
        {
            "stage": stage,
            **arguments,
            "seconds": round(time.monotonic() - started, 2),
            "peak_mib": round(peak),
        },
    )
