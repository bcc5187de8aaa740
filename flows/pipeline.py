"""The pipeline as a Prefect flow: one task run per stage of dvc.yaml, independent stages at the same time.

    python -m flows.pipeline                            what `dvc repro` does, several stages at once
    python -m flows.pipeline --plan                     what would run, and why, without running it
    python -m flows.pipeline train --set seed=8         only what `train` needs, with another seed

DVC says what depends on what and what has changed, and at the end dvc.lock is the same as after `dvc repro`.
Prefect shows the run while it happens: on the server at PREFECT_API_URL or, if that is not set, on one that
it starts for the duration of the run.
"""

import argparse
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Annotated, Any

from prefect import allow_failure, flow, get_run_logger, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.events import emit_event
from prefect.exceptions import PrefectException
from prefect.futures import PrefectFuture, wait
from prefect.settings import PREFECT_API_URL
from prefect.states import Cancelled, Completed, Crashed, Failed
from prefect.tasks import exponential_backoff
from pydantic import Field
from ruamel.yaml import YAML, YAMLError

from flows import artifacts, publish
from flows.execution import Executor, Outcome, Status
from flows.graph import Graph
from flows.workspace import Workspace, half_a_second
from pets.core import params as parameters
from pets.core.errors import UserError

REPORT, SUMMARY = Path("reports/index.html"), Path("reports/summary.md")
CANCEL_CHECK_SECONDS = 5  # between two questions to the server whether the run was cancelled there


@flow(name="pipeline")
def pipeline(
    targets: list[str] | None = None,
    force: bool = False,
    params: dict[str, Any] | None = None,
    jobs: Annotated[int, Field(ge=1)] = 2,
    push: bool = False,
    commit_to: str | None = None,
) -> State[Any]:
    """Bring the stages of dvc.yaml up to date.

    Args:
        targets: stages to bring up to date, with all that they depend on: `train` or
        `train@sample-vgg16-linear`.
            Without any, the whole pipeline.
        force: run stages that have not changed, too.
        params: changes to params.yaml by dotted key, such as `{"run.heads": ["linear"]}`. They stay there.
        jobs: how many stages run at the same time.
        push: afterwards, push the outputs to DVC's remote if one is configured.
        commit_to: a branch on which to commit dvc.lock and the metrics afterwards; created if need be.
    """
    logger = get_run_logger()
    cancelled = Cancellation()
    try:
        workspace = Workspace(Path.cwd())
        run = {"name": runtime.flow_run.name, "flow_run_id": str(runtime.flow_run.id)}
        with workspace.held(run, logger.info, cancelled.pause) as killed:
            if killed:
                _close(killed, logger.warning)
            workspace.stop_leftovers(logger.info)
            if commit_to:
                publish.check_branch(commit_to)
                head = publish.clean_head(publish.results(Graph([], logger.info, cancelled.pause)))
            before, made = publish.before(commit_to), None
            # Parameters with which the graph is not valid are not kept.
            with workspace.snapshot("--set", [parameters.FILE]):
                _set(params or {})
                graph = Graph(targets or [], logger.info, cancelled.pause)
            with graph.reserved():
                workspace.restore_killed(graph.matches_lock, logger.info)
                outcomes = _run_stages(Executor(graph, workspace, force), jobs, cancelled)
            artifacts.stages(outcomes)
            artifacts.metrics(before)
            artifacts.report(REPORT, SUMMARY)
            artifacts.galleries(graph.stages)
            if not all(each.status.succeeded for each in outcomes.values()):
                return _failed(outcomes)
            cancelled.ask()
            if push and (remote := graph.repo.config["core"].get("remote")):
                logger.info("pushed %d files to the remote %s", publish.push(graph), remote)
            elif push:
                logger.info("nothing pushed: no DVC remote is configured")
            if commit_to:
                results = publish.results(graph) + ([str(parameters.FILE)] if params else [])
                made = publish.commit(commit_to, f"Results of the run {run['name']}", results, head)
                logger.info(
                    f"committed {made} on {commit_to}" if made else f"{commit_to} already has these results"
                )
    except UserError as error:
        return Failed(message=str(error))
    except CancelledError:
        return Cancelled(
            message="Cancelled at the server; the outputs of the stages that were running are unchanged."
        )
    ran = sum(each.status == Status.COMPLETED for each in outcomes.values())
    # The comparison waits for this event, and not for Prefect's own of a completed run. A scheduled run's own
    # follows, by way of others, one that Prefect never emits, and a trigger holds it back for 15 minutes.
    if before:
        this = {"prefect.resource.id": f"pets.pipeline.{run['flow_run_id']}"}
        emit_event("pets.pipeline.completed", this, payload={"before": before, "after": made or ""})
    cached = "; the others were cached" if ran < len(outcomes) else ""
    return Completed(message=f"{ran} of {len(outcomes)} stages ran{cached}")


class CancelledError(Exception):
    """The user cancelled this run on Prefect's page or by its command line."""


class Cancellation:
    """Asks the server now and then whether this run was cancelled there.

    A worker passes a cancellation on to the runs that it started; a run in a terminal has to ask.
    """

    def __init__(self) -> None:
        self._run = runtime.flow_run.id
        self._next = time.monotonic() + CANCEL_CHECK_SECONDS

    def pause(self) -> None:
        """Wait for half a second. Raises CancelledError."""
        half_a_second()
        self.check()

    def check(self) -> None:
        """Ask, unless that was only just done. Raises CancelledError."""
        if time.monotonic() > self._next:
            self.ask()

    def ask(self) -> None:
        """Ask the server. Raises CancelledError."""
        with get_client(sync_client=True) as client:
            state = client.read_flow_run(self._run).state
        if state and (state.is_cancelling() or state.is_cancelled()):
            raise CancelledError
        self._next = time.monotonic() + CANCEL_CHECK_SECONDS


def _run_stages(executor: Executor, jobs: int, cancelled: Cancellation) -> dict[str, Outcome]:
    """Submit each stage once all before it have ended, ``jobs`` at a time, in the order of `dvc repro`."""
    graph, outcomes = executor.graph, executor.outcomes
    futures: dict[str, PrefectFuture[Any]] = {}
    ended: SimpleQueue[str] = SimpleQueue()
    done: set[str] = set()
    progress = artifacts.Progress(len(graph.stages))
    try:
        while len(done) < len(graph.stages):
            for name, upstream in graph.upstream.items():
                if len(futures) - len(done) < jobs and name not in futures and done.issuperset(upstream):
                    needed: list[Any] = [allow_failure(futures[each]) for each in upstream]
                    named = run_stage.with_options(name=name, task_run_name=name)
                    futures[name] = named.submit(
                        name, executor, progress, wait_for=needed, return_state=False
                    )
                    futures[name].add_done_callback(partial(_end, ended, name))
            name = _next(ended, cancelled)
            done.add(name)
            progress.end(name)
            state = futures[name].state
            if name not in outcomes:  # a bug of this program; its traceback is in the log
                outcomes[name] = Outcome(Status.FAILED, state.message or str(state.type))
    except BaseException:
        executor.stop()
        wait(list(futures.values()))
        raise
    return {name: outcomes[name] for name in graph.stages}


def _end(ended: "SimpleQueue[str]", name: str, _: PrefectFuture[Any]) -> None:
    ended.put(name)


def _next(ended: "SimpleQueue[str]", cancelled: Cancellation) -> str:
    """Wait for the next stage that ends."""
    while True:
        cancelled.check()
        with suppress(Empty):
            return ended.get(timeout=0.5)


@task(
    cache_policy=NO_CACHE,
    retries=3,
    retry_delay_seconds=exponential_backoff(10),
    retry_jitter_factor=0.5,
    retry_condition_fn=lambda task, run, state: state.name == Status.UNREACHABLE,
)
def run_stage(name: str, executor: Executor, progress: artifacts.Progress) -> State[Any]:
    """Run one stage; retry it only if its exit status says that the error may go away by itself."""
    upstream = executor.graph.upstream[name]
    missing = [each for each in upstream if not executor.outcomes[each].status.succeeded]
    if missing:
        outcome = Outcome(Status.SKIPPED, f"it needs {', '.join(missing)}")
    else:
        try:
            outcome = executor.run(name, get_run_logger().info, partial(progress.report, name))
        except UserError as error:
            outcome = Outcome(Status.FAILED, str(error))
    executor.outcomes[name] = outcome
    if outcome.status.succeeded:
        return Completed(name=outcome.status, message=outcome.reason)
    if outcome.status in (Status.SKIPPED, Status.CANCELLED):
        return Cancelled(name=outcome.status, message=outcome.reason)
    return Failed(name=outcome.status, message=outcome.reason)


def _failed(outcomes: dict[str, Outcome]) -> State[Any]:
    failed = {
        name: each for name, each in outcomes.items() if each.status in (Status.FAILED, Status.UNREACHABLE)
    }
    reasons = "\n".join(f"{name}: {each.reason}" for name, each in failed.items())
    return Failed(message=f"{len(failed)} of {len(outcomes)} stages failed.\n{reasons}")


def _close(killed: dict[str, Any], report: Callable[[str], None]) -> None:
    """Mark a run whose process was killed as crashed: the server would count it as running for ever."""
    if "flow_run_id" not in killed:
        return
    report(f"the run {killed['name']} (process {killed['pid']}, since {killed['since']}) was killed")
    with get_client(sync_client=True) as client:
        try:
            state = client.read_flow_run(killed["flow_run_id"]).state
        except PrefectException:
            return  # it was a run of another server
        if state and not state.is_final():
            crashed: State[Any] = Crashed(
                message="Its process was killed; the next run in the same folder noticed."
            )
            client.set_flow_run_state(killed["flow_run_id"], crashed, force=True)


def main(words: list[str]) -> int:
    """The command line; returns the exit status, 1 if a stage failed or the run could not start."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.pipeline",
        description="Run the pipeline of dvc.yaml as a Prefect flow, independent stages at the same time.",
    )
    add = parser.add_argument
    add("targets", nargs="*", help="stages, run with all that they depend on (default: all)")
    add("--plan", action="store_true", help="print what would run, and why, without running it")
    add("--force", action="store_true", help="run stages that have not changed, too")
    change = "change params.yaml first, and leave it changed: run.heads=[linear]"
    add("--set", action="append", default=[], metavar="KEY=VALUE", dest="changes", help=change)
    add("--jobs", type=int, default=2, metavar="N", help="stages that run at the same time (default 2)")
    add("--push", action="store_true", help="run dvc push afterwards if a remote is configured")
    add("--commit-to", metavar="BRANCH", help="commit dvc.lock and the metrics on this branch afterwards")
    arguments = parser.parse_args(words)
    if arguments.jobs < 1:
        parser.error("--jobs must be at least 1")
    try:
        changes = dict(map(_change, arguments.changes))
        if arguments.plan:
            _plan(arguments.targets, arguments.force, changes)
            return 0
        _require_server()
    except UserError as error:
        print(f"pipeline: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    try:
        options = arguments.jobs, arguments.push, arguments.commit_to
        state = pipeline(arguments.targets, arguments.force, changes, *options, return_state=True)
    except KeyboardInterrupt:
        print("pipeline: stopped; the outputs of the stages that were running are unchanged", file=sys.stderr)
        return 130
    print(f"pipeline: {state.message}", file=sys.stdout if state.is_completed() else sys.stderr)
    return 0 if state.is_completed() else 1


def _change(assignment: str) -> tuple[str, Any]:
    key, equals, value = assignment.partition("=")
    try:
        if equals:
            return key, YAML(typ="safe").load(value)
    except YAMLError:
        pass
    raise UserError(f"'{assignment}' is not a change to params.yaml; write it as run.heads=[linear]")


def _set(changes: dict[str, Any]) -> None:
    """Write changes, by dotted key, into params.yaml."""
    if changes:
        parameters.override([f"{key}={json.dumps(value, default=str)}" for key, value in changes.items()])


def _plan(targets: list[str], force: bool, changes: dict[str, Any]) -> None:
    """Print the plan: with changes to params.yaml, of the changed file, which is then restored."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the file is restored then, too
    workspace = Workspace(Path.cwd())
    with workspace.held({"name": "--plan"}, _report, half_a_second), ExitStack() as changed:
        if changes:
            changed.enter_context(workspace.snapshot("--plan", [parameters.FILE], always=True))
            _set(changes)
        graph = Graph(targets, _report, half_a_second)
        with graph.reserved():
            planned = graph.plan(force)
    width = max(len(each.name) for each in planned)
    for each in planned:
        print(f"{each.action:8} {each.name:{width}}  {each.reason}")
    counts = Counter(each.action for each in planned)
    _report(f"of {len(planned)} stages: {', '.join(f'{count} {action}' for action, count in counts.items())}")


def _report(message: str) -> None:
    print(f"pipeline: {message}", file=sys.stderr)


def _require_server() -> None:
    """Raise UserError if there is no DVC project here, or the server at PREFECT_API_URL does not answer.

    If none is set, Prefect starts one: marked as this workspace's, so that the next run stops it if this one
    is killed.
    """
    os.environ.update(Workspace(Path.cwd()).environment())
    if url := PREFECT_API_URL.value():
        with get_client(sync_client=True) as client:
            error = client.api_healthcheck()
        if error:
            raise UserError(
                f"the Prefect server at {url} does not answer ({error}); start it (`prefect server start`) "
                "or unset PREFECT_API_URL to use one that is started for the run."
            )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
