"""`Workers`: processes that train one model together, each computing some rows of every batch."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

from ..core.arguments import check_size
from ..core.device import on_own_gpu
from ..core.layer import Layer
from ..core.roles import Loss, Recurrent
from ..models.many_to_one import ManyToOne
from ..optim.base import Optimizer
from ..saving.checkpoint import save
from ..training.gradients import check_parts
from ..training.process import Process
from .alike import data_of, differences, parts_of, position_of, settings_of, software
from .shards import Shards, divided
from .states import join_states, split_state
from .sums import ShardSums
from .world import world

Result = TypeVar("Result")


class Workers(Process):
    """Processes that train one model together: the result is the same, to the bit, for any number of them.

    Every batch is cut into `shards`, runs of rows whose numbers differ by at most one. The gradient of the sum of the
    losses of each shard is computed separately. These gradients are added in pairs, in a fixed tree over the numbers of
    the shards, and divided by the number of tokens that count in the whole batch. A worker computes neighbouring
    shards; there is one exchange between workers in a step. All workers then make the same update. Random masks belong
    to the rows of the whole batch.

    One worker, without MPI, computes the same. All workers must have the same kind of processor, versions of packages,
    and number of threads; this is compared before the first step.

    Start several by `mpiexec -n 4 python -m mpi4py script.py`, with the extra `mpi`. All run the same script.

    Args:
        communicator: one of mpi4py. None is `MPI.COMM_WORLD`, or a single worker, if no others were started.
        shards: how many shards a batch has, a power of two; the number of workers divides it.
        compare: the number of steps after which `check` compares the workers.

    Attributes:
        rank: the number of this worker, from 0.
        size: the number of workers.
        shards: as given.

    Raises:
        TypeError: `shards` or `compare` is not an integer.
        ValueError: `shards` is not a power of two, or the number of workers does not divide it.
        ImportError: several processes were started, but mpi4py is missing.
        RuntimeError: MPI does not know all processes that were started, or they were started without `-m mpi4py`.

    Example:
        >>> workers = Workers()
        >>> rng = np.random.default_rng(0)
        >>> model = Sequential(OneHot(5), GRUCell(5, 8, rng=rng), Linear(8, 5, rng=rng))
        >>> criterion, optimizer, state = SoftmaxCrossEntropy(), Adam(model, 0.05), None
        >>> for shards in workers.batches(TokenStream(np.arange(400) % 5, batch=4, steps=10)):
        ...     model.zero_grad()
        ...     loss, state = workers.gradients(model, criterion, shards, state)
        ...     optimizer.step()
        ...     workers.check(optimizer)
        >>> workers.size, loss < 1.6
        (1, True)
    """

    def __init__(self, communicator: Any = None, *, shards: int = 8, compare: int = 100) -> None:
        self.shards = check_size("Workers", "shards", shards)
        self._compare = check_size("Workers", "compare", compare)
        self._communicator = world() if communicator is None else communicator
        if self._communicator is not None:
            self.rank, self.size = self._communicator.rank, self._communicator.size
        if self.shards & (self.shards - 1):
            raise ValueError(f"Workers: shards must be a power of two, such as 8, not {shards}")
        if self.shards % self.size:
            fitting = ", ".join(str(1 << k) for k in range(self.shards.bit_length()))
            raise ValueError(
                f"Workers: {self.size} workers do not divide {shards} shards: start {fitting} of them, or give another "
                "number of shards, which gives other results"
            )
        self._sums = ShardSums(self.shards, self.rank, self.size, self._communicator)
        self._source: Any = None
        self._is_compared = self._is_checked = False

    def __repr__(self) -> str:
        return f"Workers(rank {self.rank} of {self.size}, {self.shards} shards)"

    @property
    def local_rank(self) -> int:
        """The number of this worker among those of the same machine: that of its GPU, `f"cuda:{local_rank}"`."""
        names = ("MPI_LOCALRANKID", "OMPI_COMM_WORLD_LOCAL_RANK", "SLURM_LOCALID")
        return next((int(os.environ[name]) for name in names if os.environ.get(name, "").isdecimal()), 0)

    def batches(self, source: Any) -> Any:
        """A source that gives the `Shards` of this worker in place of each batch of `source`.

        It can do what `source` can: `len` and `[k]`, or `epoch(number)`, or iteration. From a `TokenStream`, it reads
        no token of other workers; other sources make the whole batch.

        Args:
            source: an iterable of `Batch`, the same in all workers.
        """
        self._source = divided(source, self.shards, self.rank, self.size)
        return self._source

    @on_own_gpu
    def gradients(
        self,
        model: Recurrent | ManyToOne,
        criterion: Loss,
        shards: Shards,
        state: Any = None,
        *,
        dloss: float | None = None,
    ) -> tuple[float, Any]:
        """Add the gradients of the loss of a whole batch to those of the parameters; all workers do so together.

        Like `gradients`, but a mean is over the tokens of all workers. On a GPU it waits once, for the loss.

        Args:
            model: a `Recurrent`, or a `ManyToOne`.
            criterion: the loss; if it has no `reduction`, it is a mean with the divisor that `count` gives.
            shards: from `batches`.
            state: what this gave for the batch before, or the state of all rows from a checkpoint; None is the initial
                state.
            dloss: a factor of the gradients; None is 1.

        Returns:
            `(loss, state)`: the loss of the whole batch; and the states of the shards after it, for the next one.

        Raises:
            RuntimeError: in the first call, the workers differ; the message says which, and in what. Or a layer drew
                more random numbers for one shard than for another.
            TypeError, ValueError: as `gradients` does.
        """
        check_parts("Workers.gradients", model, criterion)
        if self.size > 1 and not self._is_compared:
            self._compare_all({**parts_of(model, criterion), **data_of(self._source)})
        if not isinstance(shards, Shards):
            raise TypeError(
                f"Workers.gradients: shards must be what Workers.batches gives, not a {type(shards).__name__}"
            )
        states = split_state(state, shards)
        return self._sums.add_gradients("Workers.gradients", model, criterion, shards, states, dloss)

    def add_gradients(
        self, owner: str, model: Any, criterion: Loss, batch: Shards, state: Any, dloss: float | None
    ) -> tuple[float, Any]:
        """`gradients`, as `fit` calls it."""
        states = split_state(state, batch)
        loss, after = self._sums.add_gradients(owner, model, criterion, batch, states, dloss)
        return loss, after if batch.batch.starts is not None else None

    def check(self, optimizer: Optimizer, *, now: bool = False) -> None:
        """Compare the weights, the optimizer and the random streams of all workers, every `compare` steps.

        Call it after each step.

        Args:
            optimizer: the optimizer of the model.
            now: whether to compare at once, as after the first step.

        Raises:
            RuntimeError: a worker differs from the others; the message says which, and in what.
        """
        if self.size > 1 and (now or not self._is_checked or optimizer.steps % self._compare == 0):
            self._is_checked = True
            self._must_be_alike(f"after step {optimizer.steps}", position_of(optimizer))

    def save(self, path: str | os.PathLike[str], model: Layer, *, state: Any = None, **what: Any) -> None:
        """Write a checkpoint, in worker 0, with the state of all rows; all workers call this together.

        The file is equal to the bit to that of `save`, for any number of workers.

        Args:
            path: the file.
            model: the layer.
            state: what `gradients` gave.
            what: the other arguments of `save`.

        Raises:
            TypeError, ValueError, OSError: in worker 0, as `save` does.
        """
        whole = self.whole(state)
        self.from_first(lambda: save(path, model, state=whole, **what))

    def begin(self, model: Any, criterion: Loss, optimizer: Optimizer, batches: Any) -> None:
        """Compare all workers, as the first `gradients` does, and the settings of the optimizer."""
        if self.size > 1:
            self._compare_all({**parts_of(model, criterion), **data_of(batches), **settings_of(optimizer)})

    def whole(self, state: Any) -> Any:
        """The state of all rows, in worker 0; None in the others. All workers call this together."""
        return join_states(state, self._gather)

    def from_first(self, function: Callable[[], Result]) -> Result:
        """What `function` returns in worker 0; it is called only there. All workers call this together."""
        if self.size == 1:
            return function()
        result: Result = self._communicator.bcast(function() if self.rank == 0 else None, root=0)
        return result

    def agree(self, wish: float) -> float:
        """The largest `wish` that any worker had before the last exchange of gradients."""
        return self._sums.agree(wish)

    def explain(self, error: FloatingPointError) -> None:
        """Add which shards the numbers came from."""
        if self._sums.nonfinite:
            each = self.shards // self.size
            came = ", ".join(f"{shard} (worker {shard // each})" for shard in self._sums.nonfinite)
            error.add_note(f"What is not finite came from shard {came}")

    def _gather(self, value: Any) -> list[Any] | None:
        if self.size == 1:
            return [value]
        found: list[Any] | None = self._communicator.gather(value, root=0)
        return found

    def _compare_all(self, facts: dict[str, Any]) -> None:
        self._is_compared = True
        self._must_be_alike("before the first step", {"the number of shards": self.shards, **software(), **facts})

    def _must_be_alike(self, when: str, facts: dict[str, Any]) -> None:
        told = differences(self._communicator.allgather(facts))
        if told:
            raise RuntimeError(f"Workers: {when}, the {self.size} workers differ. " + ". ".join(told))
