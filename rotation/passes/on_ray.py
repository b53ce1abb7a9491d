"""Passes on a Ray cluster, by Ray Data.

One row of the data set is one task, and an actor holds the worker of a pass. Ray Data places actors
on the machines, and holds tasks back while results wait. Results come back in the order of the
tasks. So whoever writes them writes the same files as after a run in one process.

If an actor or its machine is lost, the run of Ray Data ends, and another one begins with the first
task that has no result. Ray could restart the actor and repeat its calls. But its limit of repeats
is used up within seconds, before it knows that a machine is lost. And a restarted actor waits for a
free processor, while the others keep theirs and wait for its results.

What is done is known from the files that the results are written into, and the tasks are chosen
before Ray sees them. Ray's own checkpoints are not used.
"""

from __future__ import annotations

import logging
import os
import pickle  # nosec B403  # between processes of one cluster, which runs this program's code anyway
import secrets
import socket
import sys
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, redirect_stdout, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np

from rotation.errors import MissingExtraError, PassError, RotationError
from rotation.passes.needs import Machine, Needs, find_versions, look_here, other_versions

if TYPE_CHECKING:
    from types import ModuleType

T = TypeVar("T")
R = TypeVar("R")
Columns = dict[str, Any]

LOCAL = "local"
STORE_BYTES = 256 * 2**20  # of the object store that `local` starts; results are small
ANSWER_S = 5.0  # for a connection to the address
LOOK_S = 180.0  # for all machines to say what they have; the first imports take long
TRIES = 4  # runs in a row that may lose a process before they give a result
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
WAITS = {
    "RAY_gcs_server_port_wait_time_s": "120",
    "RAY_gcs_rpc_server_connect_timeout_s": "60",
    "RAY_gcs_server_request_timeout_seconds": "120",
    "RAY_raylet_start_wait_time_s": "120",
    "RAY_worker_register_timeout_seconds": "240",
}
"""How long Ray waits for its own processes: longer than it would by itself, for busy machines."""
GOES_ON = "What was written is kept: the same command goes on from there."
NOT_READY = "Not every machine of the cluster is ready"
THE_SAME = "Images, models and versions must be the same everywhere, at the same paths."
LOG = logging.getLogger(__name__)


class RayCluster:
    """A connection to a Ray cluster, in a `with` block: a `Runner`.

    Ray is loaded and the connection is made by the first pass that has something to do.

    Parameters:
        address: HOST:PORT of the cluster's head, or `local` for one that lives as long as the
            block, with all processors of this machine.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._begun: list[Generator[Any, None, None]] = []
        self._ray: ModuleType | None = None
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._begun:  # Ray ends the process if a pass is stopped after the shutdown
            each.close()
        self._opened.close()

    def __call__(
        self, worker: Callable[[T], R], tasks: Sequence[T], needs: Callable[[], Needs]
    ) -> Iterator[R]:
        """See `Runner`."""
        found = self._run(worker, tasks, needs)
        self._begun.append(found)
        return found

    def check(self, needs: Callable[[], Needs]) -> None:
        """See `Runner`."""
        self._checked(needs())

    def _checked(self, needed: Needs, begun: bool = False) -> int:
        """How many actors there may be, once each machine has what is needed."""
        ray = self._connected()
        check_machines(ray, needed, begun)
        return count_processors(ray, needed.device)

    def _checked_again(self, needed: Needs, tries: int) -> int:
        """`_checked`; after a loss, a message says that the same command goes on."""
        try:
            return self._checked(needed, begun=tries > 0)
        except PassError as error:
            raise PassError(f"{error} {GOES_ON}" if tries else str(error)) from None

    def _connected(self) -> ModuleType:
        if self._ray is None:
            _set_up(is_local=self._address == LOCAL)
            ray = import_ray()
            # Ray tells of processes that died on standard output, where a CSV file may go.
            self._opened.enter_context(redirect_stdout(sys.stderr))
            self._opened.callback(ray.shutdown)
            if self._address == LOCAL:
                _start(ray)
            else:
                _connect(ray, self._address)
            self._ray = ray
        return self._ray

    def _run(
        self, worker: Callable[[T], R], tasks: Sequence[T], needs: Callable[[], Needs]
    ) -> Generator[R, None, None]:
        if not tasks:
            return
        needed = needs()
        ray = self._connected()
        # Pickled here, so that a fault in another process is that of the worker and not of Ray.
        kept = ray.put(pickle.dumps((worker, find_versions(needed.packages), needed.packages)))
        done = tries = 0
        while done < len(tasks):
            start = done
            # Again after a loss: a machine that does not answer is waited for until it is known to
            # be lost. Ray Data stops if it has more actors than the cluster has processors.
            most = min(self._checked_again(needed, tries), len(tasks) - start)
            try:
                with closing(_rows(ray, kept, tasks[start:], needed.device, most)) as rows:
                    for place, row in enumerate(rows, start=start):
                        if start + row["place"] != place:
                            raise PassError(
                                f"Ray gave result {start + row['place']}, not {place}. {GOES_ON}"
                            )
                        done += 1
                        yield _result(row)
                if done != len(tasks):
                    raise PassError(f"Ray gave {done:,} of {len(tasks):,} results. {GOES_ON}")
            except ray.exceptions.RayError as error:
                tries = 1 if done > start else tries + 1
                if not isinstance(error, _losses(ray)) or tries == TRIES:
                    raise PassError(_why_stopped(ray, error, tasks[done:])) from None
                LOG.warning(
                    "A process or a machine of the cluster was lost; going on with %d of %d tasks.",
                    len(tasks) - done,
                    len(tasks),
                )


class WorkerActor:
    """Holds the worker of a pass in a process of the cluster.

    An expected error is a result, so that its message reaches the people who ask for the pass.
    Otherwise Ray would take it for a fault of the program and end the pass without the message.
    """

    def __init__(self, kept: list[Any]) -> None:
        _use_one_thread()
        self._worker: Callable[[Any], Any]
        try:
            self._worker = _unpack(import_ray().get(kept[0]))
        except RotationError as error:
            self._worker = partial(_raise, error)

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


def check_machines(ray: ModuleType, needs: Needs, begun: bool = False) -> None:
    """Check that each machine of the cluster has what a pass needs, and the versions of this one.

    Parameters:
        begun: whether the pass has begun, and may have written results.

    Raises:
        PassError: a machine lacks something; the message names the machine.
    """
    here = look_here(needs)
    found = _look_at_all(ray, needs)
    faults = [
        f"{name}: {fault}"
        for name, machine in found.items()
        for fault in [*machine.faults, *other_versions(machine.versions, here.versions)]
    ]
    if faults:
        state = "" if begun else "; nothing was begun"
        raise PassError(f"{NOT_READY}{state}. {'; '.join(faults)}. {THE_SAME}")
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
        except (ray.exceptions.RayTaskError, ImportError) as error:
            raise PassError(
                f"{name} cannot run this version of Sidelight: {_reason(error)}. Install the same "
                "version on each machine of the cluster."
            ) from None
        except (ray.exceptions.NodeDiedError, ray.exceptions.TaskUnschedulableError):
            LOG.warning("%s has left the cluster.", name)  # the pass can go on without it
        except ray.exceptions.RayError as error:
            LOG.warning("%s has not said what it has: %s.", name, _reason(error))
    return found


def count_processors(ray: ModuleType, device: str) -> int:
    """How many processors, or GPUs, the cluster has for a pass on this device.

    Raises:
        PassError: it has none, so the pass would wait for ever.
    """
    kind = "GPU" if device == "cuda" else "CPU"
    found = int(ray.cluster_resources().get(kind, 0))
    if found < 1:
        hint = "Give --device cpu, or add" if kind == "GPU" else "Add"
        raise PassError(f"The cluster has no {kind} to compute on. {hint} a machine with one.")
    return found


def _set_up(is_local: bool) -> None:
    """Set what Ray reads from the environment when it is loaded.

    Nothing is told to others. A cluster of this process has a token of its own, or else Ray would
    write one into the home folder.
    """
    settings = {"RAY_USAGE_STATS_ENABLED": "0"}
    if is_local:
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        settings |= {**WAITS, **token}
    for name, value in settings.items():
        os.environ.setdefault(name, value)


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
    ray: ModuleType, kept: Any, tasks: Sequence[Any], device: str, most: int
) -> Generator[dict[str, Any], None, None]:
    """The rows of Ray Data: place and pickled result of each task, in order."""
    _be_quiet_and_in_order(ray)
    records = [{"place": k, "task": pickle.dumps(task)} for k, task in enumerate(tasks)]
    # A block for each task: only so does Ray share them out one by one.
    data = ray.data.from_items(records, override_num_blocks=len(records))
    with warnings.catch_warnings():  # Ray has no other way for it yet
        warnings.simplefilter("ignore", ray.util.annotations.RayDeprecationWarning)
        data = data.map_batches(
            WorkerActor,
            fn_constructor_args=([kept],),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=most, initial_size=most),
            num_cpus=1,
            num_gpus=1 if device == "cuda" else None,
            max_restarts=0,
            max_task_retries=0,
        )
    yield from data.iter_rows()


def _be_quiet_and_in_order(ray: ModuleType) -> None:
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # errors are raised, and told
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_options.preserve_order = True


def _result(row: dict[str, Any]) -> Any:
    found = pickle.loads(row["result"])  # nosec B301  # see above
    if isinstance(found, RotationError):
        raise found
    return found


def _unpack(packed: bytes) -> Callable[[Any], Any]:
    """The worker of a pass, in an actor.

    Raises:
        RotationError: this machine, which may have joined late, lacks something.
    """
    worker, wanted, packages = pickle.loads(packed)  # nosec B301  # see above
    if faults := other_versions(find_versions(packages), wanted):
        raise PassError(f"{NOT_READY}. {socket.gethostname()}: {'; '.join(faults)}. {THE_SAME}")
    found: Callable[[Any], Any] = worker
    return found


def _raise(error: RotationError, _task: Any) -> Any:
    raise error


def _use_one_thread() -> None:
    """Let this process compute with one thread, whatever its machine is set to."""
    os.environ.update(dict.fromkeys(THREADS, "1"))
    with suppress(ImportError):  # a worker that needs torch says so itself
        import torch

        torch.set_num_threads(1)


def _losses(ray: ModuleType) -> tuple[type[Exception], ...]:
    """The errors of Ray by which a process, a machine, or a result that lay there is lost."""
    errors = ray.exceptions
    return (
        errors.RayActorError,
        errors.WorkerCrashedError,
        errors.OutOfMemoryError,
        errors.ObjectLostError,
        errors.NodeDiedError,
    )


def _why_stopped(ray: ModuleType, error: Exception, left: Sequence[Any]) -> str:
    """Why a pass has stopped; where its processes died, with the first batch that has no result."""
    if isinstance(error, _losses(ray)):
        return (
            f"The pass on Ray has stopped: a process died {TRIES} times. An image may have ended "
            f"it, or the memory was full. It was at {_name_ends(left[0])}, or soon after. {GOES_ON}"
        )
    return f"The pass on Ray has stopped: {_reason(error)}. {GOES_ON}"


def _name_ends(task: Any) -> str:
    """The first and the last name in a task; the name if there is only one."""
    names = list(_names_in(task)) or [str(task)]
    return " to ".join(dict.fromkeys((names[0], names[-1])))


def _names_in(task: Any) -> Iterator[str]:
    if isinstance(task, str):
        yield task
    elif isinstance(task, (list, tuple)):
        for part in task:
            yield from _names_in(part)


def _reason(error: BaseException) -> str:
    """The last line that says something: Ray puts whole traces of other processes before it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__).rstrip(".")
