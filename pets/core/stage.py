"""The command line of a stage: its arguments, its errors, its exit status, and the time it took.

Nothing here changes a stage's outputs, so no stage depends on this module in dvc.yaml.
"""

import argparse
import errno
import inspect
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pets.core.errors import TemporaryError, UserError
from pets.core.files import write_json

TIMINGS = Path(".timings")  # not a DVC output: times differ from run to run, and results must not
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # the disk, the user's quota, or the limit on a file's size
FLOW = "PETS_FLOW_WORKSPACE"  # set by the Prefect flow, which restores the outputs of a stage that fails


def run_stage(main: Callable[..., None]) -> None:
    """Run ``main`` with the command line's words as its arguments.

    The exit status is 1 for an error that the user can fix, 75 (EX_TEMPFAIL) if a later attempt may succeed.

    The time and the peak memory go to ``.timings/<stage>@<arguments>.json``, where the report finds them.
    """
    stage = Path(sys.argv[0]).stem
    description = inspect.getdoc(sys.modules["__main__"])
    parser = argparse.ArgumentParser(prog=f"python -m stages.{stage}", description=description)
    for name in inspect.signature(main).parameters:
        parser.add_argument(name)
    arguments = vars(parser.parse_args())
    started = time.monotonic()
    with errors_reported(stage):
        main(**arguments)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    name = "@".join([stage, *(["-".join(arguments.values())] if arguments else [])])
    write_json(
        TIMINGS / f"{name.replace('/', '-')}.json",  # a backbone of timm has a / in its name
        {
            "stage": stage,
            **arguments,
            "seconds": round(time.monotonic() - started, 2),
            "peak_mib": round(peak),
        },
    )


@contextmanager
def errors_reported(command: str) -> Iterator[None]:
    """Exit with one line for what the user can fix, and for Ctrl-C; a defect keeps its traceback."""
    try:
        yield
    except UserError as error:
        print(f"{command}: {error}{_earlier_outputs()}", file=sys.stderr)
        sys.exit(os.EX_TEMPFAIL if isinstance(error, TemporaryError) else 1)
    except KeyboardInterrupt:
        sys.exit(f"{command}: stopped{_earlier_outputs() or '; earlier outputs are untouched'}")
    except Exception as error:
        if isinstance(error, OSError) and error.errno in FULL:
            where = error.filename or Path.cwd()
            sys.exit(
                f"{command}: the disk is full at {where}; free some space and run again.{_earlier_outputs()}"
            )
        if hint := _earlier_outputs():
            error.add_note(hint.strip())  # Python prints it below the traceback
        raise


def _earlier_outputs() -> str:
    """A line that says how to get back the outputs of the last run, which DVC deletes before it runs a stage.

    It is empty where there is nothing to get back, or where the flow restores them.
    """
    stage, lock = os.environ.get("DVC_STAGE"), Path("dvc.lock")
    if stage is None or FLOW in os.environ or not lock.exists():
        return ""
    if f"\n  {stage}:\n" not in lock.read_text("utf-8"):
        return ""
    return f"\n`dvc checkout {stage}` brings back its last outputs, and `git restore` those that git tracks."
