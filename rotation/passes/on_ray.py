"""Passes on a Ray cluster, by Ray Data.

One row of the data set is one task, and an actor holds the worker of a pass. Ray Data places actors
on the machines, holds tasks back while results wait, replaces actors that die, and repeats what was
lost with a machine. Results come back in the order of the tasks. So whoever writes them writes the
same files as after a run in one process.

What is done is known from the files that the results are written into, and the tasks are chosen
before Ray sees them. Ray's own checkpoints are not used.
"""

from __future__ import annotations

import logging
import os
import pickle  # nosec B403  # between processes of one cluster, which runs this program's code anyway
import socket
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np

from rotation.errors import MissingExtraError, RotationError
from rotation.passes.needs import Machine, Needs, look_here

if TYPE_CHECKING:
    from types import ModuleType

T = TypeVar("T")
R = TypeVar("R")
Columns = dict[str, Any]

LOCAL = "local"
STORE_BYTES = 256 * 2**20  # of the object store that `local` starts; results are small
ANSWER_S = 5.0  # for a connection to the address
LOOK_S = 180.0  # for all machines to say what they have; the first imports take long
GOES_ON = "What was written is kept: the same command goes on from there."
LOG = logging.getLogger(__name__)


class PassError(RotationError):
    """A pass on a cluster cannot begin or go on."""


class RayCluster:
    """A connection to a Ray cluster, in a `with` block: a `Runner`.

    Parameters:
        address: HOST:PORT of the cluster's head, or `local` for one that lives as long as the
            block, with all processors of this machine.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._begun: list[Generator[Any, None, None]] = []

    def __enter__(self) -> Self:
        ray = import_ray()
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to others
        if self._address == LOCAL:
            _start(ray)
        else:
            _connect(ray, self._address)
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._begun:  # Ray ends the process if a pass is stopped after the shutdown
            each.close()
        import_ray().shutdown()

    def __call__(
        self, worker: Callable[[T], R], tasks: Sequence[T], needs: Callable[[], Needs]
    ) -> Iterator[R]:
        """See `Runner`."""
        found = self._run(worker, tasks, needs)
        self._begun.append(found)
        return found

    def _run(
        self, worker: Callable[[T], R], tasks: Sequence[T], needs: Callable[[], Needs]
    ) -> Generator[R, None, None]:
        if not tasks:
            return
        ray = import_ray()
        needed = needs()
        check_machines(ray, needed)
        kept = ray.put(worker)  # lives until the pass has ended
        done = 0
        try:
            with closing(_rows(ray, kept, tasks, needed.device)) as rows:
                for row in rows:
                    if row["place"] != done:
                        raise PassError(f"Ray gave result {row['place']}, not {done}. {GOES_ON}")
                    done += 1
                    yield _result(row)
        except ray.exceptions.RayError as error:
            raise PassError(f"The pass on Ray has stopped: {_reason(error)}. {GOES_ON}") from None
        if done != len(tasks):
            raise PassError(f"Ray gave {done:,} of {len(tasks):,} results. {GOES_ON}")


class WorkerActor:
    """Holds the worker of a pass in a process of the cluster.

    An expected error is a result, so that its message reaches the people who ask for the pass.
    Otherwise Ray would take it for a fault of the machine and try again.
    """

    def __init__(self, kept: list[Any]) -> None:
        self._worker: Callable[[Any], Any] = import_ray().get(kept[0])

    def __call__(self, rows: Columns) -> Columns:
        """The results of rows, each of which has its place and a pickled task."""
        found = np.empty(len(rows["task"]), dtype=object)
        for k, task in enumerate(rows["task"]):
            found[k] = pickle.dumps(self._work(pickle.loads(task)))  # nosec B301  # see above
        return {"place": rows["place"], "result": found}

    def _work(self, task: Any) -> Any:
        try:
            return self._worker(task)
        except RotationError as error:
            return error


def import_ray() -> ModuleType:
    """Ray with Ray Data.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingExtraError("--ray needs Ray Data", error, "distributed") from None
    return ray


def check_machines(ray: ModuleType, needs: Needs) -> None:
    """Check that each machine of the cluster has what a pass needs, and the versions of this one.

    Raises:
        PassError: a machine lacks something; the message names the machine.
    """
    here = look_here(needs)
    found = _look_at_all(ray, needs)
    faults = [
        f"{name}: {fault}"
        for name, machine in found.items()
        for fault in [*machine.faults, *_other_versions(machine, here)]
    ]
    if faults:
        raise PassError(
            "Not every machine of the cluster is ready; nothing was begun. "
            + "; ".join(faults)
            + ". Images, models and versions must be the same everywhere, at the same paths."
        )
    if len({machine.processor for machine in found.values()} | {here.processor}) > 1:
        LOG.warning(
            "Note: the cluster has processors of several kinds. The last bits of results depend "
            "on them."
        )


def _look_at_all(ray: ModuleType, needs: Needs) -> dict[str, Machine]:
    """What each machine has, by its name."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    look = ray.remote(num_cpus=0, max_retries=1)(look_here)
    asked = {}
    for node in ray.nodes():
        if node["Alive"]:
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            name = f"{node['NodeManagerHostname']} (node {node['NodeID'][:8]})"
            asked[name] = look.options(scheduling_strategy=there).remote(needs)
    found = {}
    for name, reference in asked.items():
        try:
            found[name] = ray.get(reference, timeout=LOOK_S)
        except ray.exceptions.GetTimeoutError:
            raise PassError(f"{name} does not answer within {LOOK_S:.0f} s.") from None
        except (ray.exceptions.RayError, ImportError) as error:
            raise PassError(
                f"{name} cannot run this version of Sidelight: {_reason(error)}. Install the same "
                "version on each machine of the cluster."
            ) from None
    return found


def _other_versions(machine: Machine, here: Machine) -> list[str]:
    return [
        f"{name} is {machine.versions.get(name, 'none')}, here it is {version}"
        for name, version in here.versions.items()
        if machine.versions.get(name) != version
    ]


def _start(ray: ModuleType) -> None:
    """Start a cluster of this machine that ends with this process.

    Raises:
        PassError: it does not start.
    """
    try:
        ray.init(
            address=LOCAL,
            num_cpus=len(os.sched_getaffinity(0)),
            include_dashboard=False,
            object_store_memory=STORE_BYTES,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except Exception as error:  # noqa: BLE001 - Ray says by no other class that a start took too long
        raise PassError(
            f"--ray local: Ray has not started on this machine: {_reason(error)}. It may be too "
            "busy or its disk full; leave --ray out, or try again."
        ) from None


def _connect(ray: ModuleType, address: str) -> None:
    """Connect to a running cluster.

    Raises:
        PassError: nothing answers at the address, or it is no cluster that this process can use.
    """
    host, _, port = address.rpartition(":")
    how = f"Start one with `ray start --head --port {port}`, or give --ray local."
    try:
        with socket.create_connection((host, int(port)), timeout=ANSWER_S):
            pass
    except OSError as error:
        reason = error.strerror or error
        raise PassError(f"--ray {address}: no cluster answers there ({reason}). {how}") from None
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (RuntimeError, ConnectionError, ValueError, ray.exceptions.RayError) as error:
        raise PassError(
            f"--ray {address}: this is no cluster that can be used from here: {_reason(error)}. "
            f"{how}"
        ) from None


def _rows(
    ray: ModuleType, kept: Any, tasks: Sequence[Any], device: str
) -> Generator[dict[str, Any], None, None]:
    """The rows of Ray Data: place and pickled result of each task, in order."""
    _be_quiet_and_in_order(ray)
    processors = ray.cluster_resources().get("GPU" if device == "cuda" else "CPU", 0)
    most = max(1, min(int(processors), len(tasks)))
    records = [{"place": k, "task": pickle.dumps(task)} for k, task in enumerate(tasks)]
    # A block for each task: only so does Ray share them out, and repeat one by itself.
    data = ray.data.from_items(records, override_num_blocks=len(records))
    data = data.map_batches(
        WorkerActor,
        fn_constructor_args=([kept],),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=most, initial_size=most),
        num_cpus=1,
        num_gpus=1 if device == "cuda" else None,
    )
    yield from data.iter_rows()


def _be_quiet_and_in_order(ray: ModuleType) -> None:
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_options.preserve_order = True


def _result(row: dict[str, Any]) -> Any:
    found = pickle.loads(row["result"])  # nosec B301  # see above
    if isinstance(found, RotationError):
        raise found
    return found


def _reason(error: BaseException) -> str:
    """The last line that says something: Ray puts whole traces of other processes before it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__).rstrip(".")
