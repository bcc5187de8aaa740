"""The pipeline as a Prefect flow: one task run a stage of dvc.yaml, independent stages side by side.

    python -m flows.pipeline                            what `dvc repro` does, several stages at once
    python -m flows.pipeline --plan                     what would run, and why; nothing runs
    python -m flows.pipeline train --set seed=8         only what `train` needs, with another seed

DVC says what hangs on what and what has changed, and at the end dvc.lock stands as after `dvc repro`. Prefect
shows what happens while it happens: with PREFECT_API_URL set on that server, else on one that it starts for
the length of the run.
"""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Annotated, Any

from prefect import allow_failure, flow, get_run_logger, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State, TaskRun
from prefect.exceptions import PrefectException
from prefect.futures import PrefectFuture, wait
from prefect.settings import PREFECT_API_URL
from prefect.states import Cancelled, Completed, Crashed, Failed
from prefect.tasks import exponential_backoff
from pydantic import Field
from ruamel.yaml import YAML, YAMLError

from flows import artifacts, publish
from flows.execution import Ending, Executor, Outcome
from flows.graph import Graph
from flows.workspace import Workspace
from stages import params as parameters
from stages.errors import UserError

REPORT, SUMMARY = Path("reports/index.html"), Path("reports/summary.md")
LOOK_UP = 5  # seconds between asking the server whether the run was cancelled there


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
        targets: stages to bring up to date with all that they need, `train` or `train@sample-vgg16-linear`;
            everything where there is none.
        force: run also what has not changed.
        params: changes to params.yaml by dotted key, as `{"run.heads": ["linear"]}`. They stay in the file.
        jobs: how many stages run at the same time.
        push: send the outputs to DVC's remote afterwards, where one is configured.
        commit_to: a branch on which dvc.lock and the metrics are committed afterwards; it need not exist.
    """
    logger = get_run_logger()
    cancelled = Cancellation()
    try:
        workspace = Workspace(Path.cwd())
        me = {"name": runtime.flow_run.name, "flow_run_id": str(runtime.flow_run.id)}
        with workspace.held(me, logger.info, cancelled.pause) as killed:
            if killed:
                _close(killed, logger.warning)
            workspace.stop_orphans(logger.info)
            head = _ready_to_commit(commit_to, cancelled) if commit_to else ""
            # Changes that the graph turns out to refuse are not kept.
            with workspace.snapshot("--set", [parameters.FILE]):
                _set(params or {})
                graph = Graph(targets or [], logger.info, cancelled.pause)
            with graph.reserved():
                workspace.put_back(graph.as_locked, logger.info)
                outcomes = _run_stages(graph, workspace, force, jobs, cancelled)
            _show(graph, outcomes)
            if not all(each.ending.well for each in outcomes.values()):
                return _failed(outcomes)
            cancelled.look()
            if push:
                _push(graph)
            if commit_to:
                _commit(
                    commit_to, [*publish.results(graph), *([str(parameters.FILE)] if params else [])], head
                )
    except UserError as error:
        return Failed(message=str(error))
    except CancelledError:
        return Cancelled(message="Cancelled at the server; stages in the making are as they were before.")
    ran = sum(each.ending == Ending.COMPLETED for each in outcomes.values())
    return Completed(message=f"{ran} of {len(outcomes)} stages ran; the others were cached")


class CancelledError(Exception):
    """Somebody cancelled this run in Prefect's page or by its command line."""


class Cancellation:
    """Looks now and then whether somebody has cancelled this run at the server.

    Prefect tells it to runs that a worker started; a run in a terminal has to look for itself.
    """

    def __init__(self) -> None:
        self._run = runtime.flow_run.id
        self._next = time.monotonic() + LOOK_UP

    def pause(self) -> None:
        """Wait for half a second. Raises CancelledError."""
        time.sleep(0.5)
        self.check()

    def check(self) -> None:
        """`look`, if the last one is long enough ago."""
        if time.monotonic() > self._next:
            self.look()

    def look(self) -> None:
        """Ask the server. Raises CancelledError."""
        with get_client(sync_client=True) as client:
            state = client.read_flow_run(self._run).state
        if state and (state.is_cancelling() or state.is_cancelled()):
            raise CancelledError
        self._next = time.monotonic() + LOOK_UP


def _ready_to_commit(branch: str, cancelled: Cancellation) -> str:
    """The commit that stands here, with nothing changed since. Raises UserError."""
    publish.ready(branch)
    return publish.clean_head(publish.results(Graph([], get_run_logger().info, cancelled.pause)))


class Work:
    """What the stages of one run share; no dataclass, since Prefect looks into those while stages write."""

    def __init__(self, graph: Graph, executor: Executor, force: bool) -> None:
        self.graph = graph
        self.executor = executor
        self.force = force
        self.outcomes: dict[str, Outcome] = {}


def _run_stages(
    graph: Graph, workspace: Workspace, force: bool, jobs: int, cancelled: Cancellation
) -> dict[str, Outcome]:
    """Submit each stage once all that it needs has ended, ``jobs`` at a time, in the order of `dvc repro`."""
    work = Work(graph, Executor(graph, workspace), force)
    futures: dict[str, PrefectFuture[Any]] = {}
    ended: SimpleQueue[str] = SimpleQueue()
    done: set[str] = set()
    try:
        while len(done) < len(graph.stages):
            for name, upstream in graph.upstream.items():
                if len(futures) - len(done) < jobs and name not in futures and done.issuperset(upstream):
                    needed: list[Any] = [allow_failure(futures[each]) for each in upstream]
                    named = run_stage.with_options(name=name, task_run_name=name)
                    futures[name] = named.submit(name, work, wait_for=needed, return_state=False)
                    futures[name].add_done_callback(_putting(ended, name))
            name = _next(ended, cancelled)
            done.add(name)
            state = futures[name].state
            if name not in work.outcomes:  # an error of this program's own; its traceback is in the log
                work.outcomes[name] = Outcome(Ending.FAILED, state.message or str(state.type))
    except BaseException:
        work.executor.stop()
        wait(list(futures.values()))
        raise
    return {name: work.outcomes[name] for name in graph.stages}


def _putting(ended: "SimpleQueue[str]", name: str) -> Callable[[PrefectFuture[Any]], None]:
    return lambda _: ended.put(name)


def _next(ended: "SimpleQueue[str]", cancelled: Cancellation) -> str:
    """The next stage that ends."""
    while True:
        cancelled.check()
        with suppress(Empty):
            return ended.get(timeout=0.5)


def _may_help(task: Any, run: TaskRun, state: State[Any]) -> bool:
    return state.name == Ending.UNREACHABLE


@task(
    cache_policy=NO_CACHE,
    retries=3,
    retry_delay_seconds=exponential_backoff(10),
    retry_jitter_factor=0.5,
    retry_condition_fn=_may_help,
)
def run_stage(name: str, work: Work) -> State[Any]:
    """One stage. Only what a stage itself says may mend itself is tried again."""
    logger = get_run_logger()
    unwell = [each for each in work.graph.upstream[name] if not work.outcomes[each].ending.well]
    if unwell:
        outcome = Outcome(Ending.SKIPPED, f"it needs {', '.join(unwell)}")
    else:
        try:
            outcome = work.executor.run(name, work.force, logger.info, artifacts.Progress(name))
        except UserError as error:
            outcome = Outcome(Ending.FAILED, str(error))
    work.outcomes[name] = outcome
    if outcome.ending.well:
        return Completed(name=outcome.ending, message=outcome.why)
    if outcome.ending in (Ending.SKIPPED, Ending.CANCELLED):
        return Cancelled(name=outcome.ending, message=outcome.why)
    return Failed(name=outcome.ending, message=outcome.why)


def _show(graph: Graph, outcomes: dict[str, Outcome]) -> None:
    artifacts.stages(outcomes)
    artifacts.metrics()
    artifacts.report(REPORT, SUMMARY)
    artifacts.galleries(graph.stages)


def _failed(outcomes: dict[str, Outcome]) -> State[Any]:
    failed = {
        name: each for name, each in outcomes.items() if each.ending in (Ending.FAILED, Ending.UNREACHABLE)
    }
    said = "\n".join(f"{name}: {each.why}" for name, each in failed.items())
    return Failed(message=f"{len(failed)} of {len(outcomes)} stages failed.\n{said}")


@task(name="push", cache_policy=NO_CACHE, retries=2, retry_delay_seconds=exponential_backoff(10))
def push_outputs(graph: Graph) -> int:
    """`dvc push`."""
    return publish.push(graph)


def _push(graph: Graph) -> None:
    logger = get_run_logger()
    if name := publish.remote(graph):
        logger.info("sent %d files to the remote %s", push_outputs(graph), name)
    else:
        logger.info("nothing pushed: no DVC remote is configured")


def _commit(branch: str, paths: list[str], head: str) -> None:
    made = publish.commit(branch, f"Results of the run {runtime.flow_run.name}", paths, head)
    get_run_logger().info(f"committed {made} on {branch}" if made else f"{branch} has these results already")


def _close(killed: dict[str, Any], say: Callable[[str], None]) -> None:
    """Tell the server that a run, whose process is certainly gone, has crashed: else it would run forever."""
    if "flow_run_id" not in killed:
        return
    say(f"the run {killed['name']} (process {killed['pid']}, since {killed['since']}) was killed")
    with get_client(sync_client=True) as client:
        try:
            state = client.read_flow_run(killed["flow_run_id"]).state
        except PrefectException:
            return  # that was another server's run
        if state and not state.is_final():
            crashed: State[Any] = Crashed(
                message="Its process was killed; the next run in its folder found that out."
            )
            client.set_flow_run_state(killed["flow_run_id"], crashed, force=True)


def main(words: list[str]) -> int:
    """The command line; returns the exit status: 1 where a stage failed or nothing could be begun."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.pipeline",
        description="The pipeline of dvc.yaml, independent stages side by side, as a Prefect flow.",
    )
    parser.add_argument("targets", nargs="*", help="stages, with all that they need (default: everything)")
    parser.add_argument("--plan", action="store_true", help="say what would run and why, and run nothing")
    parser.add_argument("--force", action="store_true", help="run also what has not changed")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="changes",
        help="a change to params.yaml, which stays there: run.heads=[linear]",
    )
    parser.add_argument(
        "--jobs", type=int, default=2, metavar="N", help="stages at the same time (default 2)"
    )
    parser.add_argument(
        "--push", action="store_true", help="dvc push afterwards, where a remote is configured"
    )
    parser.add_argument(
        "--commit-to", metavar="BRANCH", help="commit dvc.lock and the metrics there afterwards"
    )
    asked = parser.parse_args(words)
    if asked.jobs < 1:
        parser.error("--jobs must be at least 1")
    try:
        changes = dict(map(_change, asked.changes))
        if asked.plan:
            _plan(asked.targets, asked.force, changes)
            return 0
        Workspace(Path.cwd())
        _require_server()
    except UserError as error:
        print(f"pipeline: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    try:
        state = pipeline(
            asked.targets, asked.force, changes, asked.jobs, asked.push, asked.commit_to, return_state=True
        )
    except KeyboardInterrupt:
        print("pipeline: stopped; the stages that ran are as they were before", file=sys.stderr)
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
    raise UserError(f"'{assignment}' is no change to params.yaml; write it as run.heads=[linear]")


def _set(changes: dict[str, Any]) -> None:
    """Write changes, by dotted key, into params.yaml."""
    if changes:
        parameters.override([f"{key}={json.dumps(value, default=str)}" for key, value in changes.items()])


def _plan(targets: list[str], force: bool, changes: dict[str, Any]) -> None:
    """Print the plan. With changes to params.yaml it is made of the changed file, which is then put back."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that it is put back then, too
    workspace = Workspace(Path.cwd())
    with workspace.held({"name": "--plan"}, _tell, _pause), ExitStack() as undo:
        if changes:
            undo.enter_context(workspace.undone("--plan", [parameters.FILE]))
            _set(changes)
        graph = Graph(targets, _tell, _pause)
        with graph.reserved():
            planned = graph.plan(force)
    width = max(len(each.name) for each in planned)
    for each in planned:
        print(f"{each.action:8} {each.name:{width}}  {each.why}")


def _pause() -> None:
    time.sleep(0.5)


def _tell(what: str) -> None:
    print(f"pipeline: {what}", file=sys.stderr)


def _require_server() -> None:
    """Raises UserError where PREFECT_API_URL names a server that does not answer.

    Where it names none, Prefect will start one: marked, so that it is found if this process is killed.
    """
    os.environ.update(Workspace(Path.cwd()).environment())
    if url := PREFECT_API_URL.value():
        with get_client(sync_client=True) as client:
            error = client.api_healthcheck()
        if error:
            raise UserError(
                f"the Prefect server at {url} does not answer ({error}); start it (`prefect server start`) "
                "or unset PREFECT_API_URL to use one that lives as long as the run."
            )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
