"""For each stage, for each epoch, for each batch, for each turn: a step. Nothing else is decided here."""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mien.models.backbones import Backbone
from mien.models.blocks import ExpressionModel
from mien.train.averaging import AveragedWeights, average_statistics, keep_own_statistics
from mien.train.batches import BatchNumbers, FaceBatches, Share, device_for, in_order, loader, shuffled
from mien.train.build import Built
from mien.train.capture import record
from mien.train.checkpoints import Sparing, save_checkpoint, taking_up
from mien.train.keep import Diary, Kept
from mien.train.kept_features import Keeper, KeptMaps, leading
from mien.train.network import At, seed_generators, split_outputs, step_seed
from mien.train.optimizers import Schedule, make_optimizer
from mien.train.stopping import TrainingStopped
from mien.train.validation import summed

Progress = Callable[[int, int | None], None]


@dataclass
class Place:
    """How far a run has come; all of it is in a checkpoint.

    Attributes:
        stage: The stage that is trained.
        epoch: Epochs of the run that are done.
        stage_epoch: Epochs of the stage that are done.
        step: Steps of the stage that are done.
    """

    stage: int = 0
    epoch: int = 0
    stage_epoch: int = 0
    step: int = 0


class Loop:
    """Trains what was built.

    Args:
        built: Network, faces, stages.
        diary: Receives weights and history.
        checkpoint: Where to write checkpoints.
        check: Called after each batch; may raise.
        after_epoch: Called when an epoch is kept.
        progress: Called with steps done and in all.
    """

    def __init__(
        self,
        built: Built,
        diary: Diary,
        checkpoint: Path,
        *,
        check: Callable[[], None],
        after_epoch: Callable[[], None],
        progress: Progress | None = None,
    ) -> None:
        self.built, self.diary, self.checkpoint = built, diary, checkpoint
        self.check, self.after_epoch, self.progress = check, after_epoch, progress
        self.fabric, self.network, self.train = built.fabric, built.network, built.config.train
        self.place, self.kept, self.sparing = Place(), Kept(), Sparing()
        self.bettered = False  # whether the last epoch is the best so far
        # The best network so far and its epoch, where the folder holds an older one; and what that one is of.
        self.unwritten: tuple[nn.Module, dict[str, float]] | None = None
        self.written: dict[str, float] = {}
        self.saved = 0  # epochs that the checkpoint holds
        self.ahead = 0  # epochs that the weights in the folder have seen, where an earlier sitting came further
        share = Share(self.fabric.global_rank, self.fabric.world_size)
        self.share = share
        self.network.to(self.fabric.device)
        self.averages = AveragedWeights(self.network.model, self.train.ema) if self.train.ema is not None else None
        repeats = any(stage.begins == "start" for stage in built.stages)
        begun = self.network.state_dict() if repeats else {}
        self.start = {k: v.clone() for k, v in begun.items() if not k.startswith("mitigation.")}
        self.optimizers: list[Any] = []
        # Who stands still in a turn keeps its gradient off; what the mitigation froze, or what never moves in this run,
        # stays frozen and is in no optimiser.
        built.base.freeze(built.freezing.at(built.all_epochs - 1))
        self.still: set[int] = set()  # parameters of parts that stand still in this epoch
        sides = {"model": (self.network.model, self.network.losses), "mitigation": (self.network.mitigation,)}
        self.moving = {
            side: [p for module in modules for p in module.parameters() if p.requires_grad]
            for side, modules in sides.items()
        }

    def run(self, state: dict[str, Any] | None, more: Callable[[], bool]) -> bool:
        """Train to the end, or until ``more`` says no after an epoch.

        Args:
            state: The checkpoint to go on from; None to begin.
            more: Whether to go on with another epoch.

        Returns:
            Whether the run is done.
        """
        if state is not None:
            with taking_up(self.checkpoint):
                self._take_up(state)
        self._place_faces()
        if state is None:
            self.built.mitigation.begin(0, self._logits)
        while self.place.stage < len(self.built.stages):
            self._enter_stage(state)
            state, stage = None, self.place.stage
            while self.place.stage == stage:
                self._epoch()
                over = self._stage_is_over()
                ends = over and stage + 1 == len(self.built.stages)
                stops = not ends and not self.fabric.broadcast(more())
                due = over or stops or self._asked_to_stop() or self.sparing.due()
                self._keep(over, now=self.fabric.broadcast(due))
                self.after_epoch()
                if stops:
                    return False
                if not ends:
                    self._look()
        return True

    def _keep(self, over: bool, now: bool) -> None:
        """Write weights and checkpoint of an epoch, or hold the weights until that is due; leave a stage at its end."""
        held = not now or self.place.epoch < self.ahead  # it goes on learning
        if self.bettered:
            self.unwritten = (deepcopy(self.judged) if held else self.judged, dict(self.kept.best))
        if not now:
            return
        with self.sparing.written():
            self.write_best()
            if over:
                self._leave_stage()
            self._save()
        self.saved = self.place.epoch

    def write_best(self) -> None:
        """Bring the weights in the folder up to the best epoch.

        Not before this sitting has come as far as the one that wrote them: they are no worse than what a run that
        trains some epochs again has so far.
        """
        if self.unwritten is not None and self.place.epoch >= self.ahead:
            model, best = self.unwritten
            self.diary.weights(model, best)
            self.unwritten, self.written = None, best

    def _asked_to_stop(self) -> bool:
        try:
            self.check()
        except TrainingStopped:
            return True
        return False

    def _look(self) -> None:
        """Stop between two batches if asked to; where earlier epochs are not written yet, this one ends first."""
        if self.saved == self.place.epoch:
            self.check()

    def _place_faces(self) -> None:
        """Faces, placed once for all stages; where leading parts stand still, what these make of them."""
        built, data, images = self.built, self.built.data, self.built.data.store.images
        faces: NDArray[np.uint8] | KeptMaps = images
        n, why = leading(self.network, built.base, built.freezing, built.all_epochs)
        if built.freezing.parts and not n:
            self.diary.say(f"note: frozen parts are computed anew in every epoch: {why}")
        if n and self.share.world == 1:  # several processes would each need a share of their own
            rows = np.concatenate([data.train.rows, data.validation.rows])
            keeper = Keeper(
                network=self.network,
                n=n,
                device=self.fabric.device,
                batch_size=2 * self.train.batch_size,
                most_gib=built.config.model.cache_gib,
                folder=self.diary.folder,
                say=self.diary.say,
                check=self.check,
            )
            kept = keeper.keep(images, rows)
            if kept is not None:
                faces = kept
                for model in (self.network.model, self.averages.model if self.averages else None):
                    if isinstance(model, Backbone):
                        model.begins_at = n
        self.device = device_for(faces, len(data.train) + len(data.validation))
        self.faces = FaceBatches(faces, data.train, self.device, built.variants)
        self.validation = loader(
            FaceBatches(faces, data.validation, self.device),
            BatchNumbers(in_order(len(data.validation)), len(data.validation), 2 * self.train.batch_size, self.share),
        )

    @property
    def judged(self) -> ExpressionModel:
        """What is validated and saved: the plain network, of the averaged weights where there are some."""
        model = self.network.model if self.averages is None else self.averages.model
        return self.built.mitigation.plain(model)  # type: ignore[arg-type]

    def _enter_stage(self, state: dict[str, Any] | None) -> None:
        """Batches, optimisers and schedules of a stage, as they begin or as a checkpoint left them."""
        built, stage = self.built, self.built.stages[self.place.stage]
        for parameter in (p for side in self.moving.values() for p in side):  # a turn of the last stage held some
            parameter.requires_grad_(True)
        mitigation, faces, seed = built.mitigation, built.data.train, built.config.seed

        def order(epoch: int) -> NDArray[np.int64]:
            asked = mitigation.order(seed, epoch)
            if built.variants is not None:
                return built.variants.order(asked, seed, epoch)
            return shuffled(len(faces), seed)(epoch) if asked is None else asked

        n, weights = len(order(self.place.epoch)), mitigation.sample_weights()
        size = min(self.train.batch_size, n) // self.share.world * self.share.world
        self.numbers = BatchNumbers(order, n, size, self.share, whole=True)
        self.faces.weigh(weights)
        self.batches = loader(self.faces, self.numbers)
        self.n_steps = built.epochs(self.place.stage) * len(self.numbers)
        self.network.turns = stage.turns
        optimizers = [make_optimizer(self.network, turn, self.train.optimizer) for turn in stage.turns]
        self.schedules = [Schedule(o, self.train, self.n_steps, len(self.numbers)) for o in optimizers]
        self._record(size // self.share.world)
        if self.share.world > 1:
            keep_own_statistics(self.network)
        self.trained, *self.optimizers = self.fabric.setup(self.network, *optimizers, move_to_device=False)
        if state is not None and state["optimizers"]:
            with taking_up(self.checkpoint):
                if self.place.step != self.place.stage_epoch * len(self.numbers):
                    raise ValueError(f"{self.place.step} steps in {self.place.stage_epoch} epochs")
                for optimizer, schedule, own, rates in zip(
                    optimizers, self.schedules, state["optimizers"], state["schedules"], strict=True
                ):
                    optimizer.load_state_dict(own)
                    schedule.load_state_dict(rates, self.place.step)

    def _record(self, size: int) -> None:
        """On a graphics card, record the network's kernels; see :mod:`mien.train.capture`."""
        self.network.recorded.clear()  # of the stage before, whose batches may have had another size
        # A recording gives logits and features alone: nothing that some losses and networks ask for beside them. And
        # what begins to move later would be missing in its backward pass.
        plain = type(self.network.model).auxiliary is ExpressionModel.auxiliary and not self.network.asks_maps
        fixed = self.built.freezing.every is None
        if self.fabric.device.type != "cuda" or self.share.world > 1 or not plain or not fixed:
            return
        like = self.faces[np.zeros(1, np.int64)].images
        like = torch.zeros_like(like).to(self.fabric.device).expand(size, *like.shape[1:])
        faces = self.network.pictures.judged(like)
        found = record(self.network.model, faces, self.network.pictures.dtype, self.diary.say)
        if found is not None:
            self.network.recorded.append(found)

    def _epoch(self) -> None:
        """One epoch: its steps, then what validation finds."""
        began, seed = time.monotonic(), self.built.config.seed
        self.numbers.epoch = self.place.epoch
        self.network.train()
        self._freeze()
        sums: list[Tensor] = []  # left on the device until the epoch ends: reading a number makes the processor wait
        for number, batch in enumerate(self.batches):
            seed_generators(step_seed(seed, self.place.epoch, number), self.fabric.device)
            sums.append(self._step(self.fabric.to_device(batch)))
            self.place.step += 1
            for schedule in self.schedules:
                schedule.after_step(self.place.step)
            if self.progress is not None:
                self.progress(*self._steps_done())
            self._look()
        self.place.epoch, self.place.stage_epoch = self.place.epoch + 1, self.place.stage_epoch + 1
        # Before the epoch is judged and saved, by whichever process: its weights are those of all.
        networks = [self.network] if self.averages is None else [self.network, self.averages.model]
        average_statistics(networks, self.fabric)
        self._judge(summed(sums, self.fabric).tolist(), began)

    def _freeze(self) -> None:
        """Let stand still what does in this epoch."""
        base, freezing = self.built.base, self.built.freezing
        if freezing.parts:
            base.freeze(freezing.at(self.place.epoch))
            self.still = {id(p) for p in base.parameters_of(base.frozen)}

    def _step(self, batch: Any) -> Tensor:
        """All turns of one step; returns the sums of the last one."""
        turns = self.network.turns
        found = torch.zeros(3)
        for i, (turn, optimizer) in enumerate(zip(turns, self.optimizers, strict=True)):
            if len(turns) > 1:
                for side, parameters in self.moving.items():
                    for parameter in parameters:
                        parameter.requires_grad_(turn.moves in (side, "all") and id(parameter) not in self.still)
            for _ in range(turn.times):
                optimizer.zero_grad(set_to_none=True)
                at = At(self.place.epoch, self.place.step, self.n_steps, i)
                loss, found = self.trained(batch, at)
                self.fabric.backward(loss)
                if self.train.clip is not None:
                    # A norm that is no number makes weights that are none, and a loss that the epoch's end names.
                    self.fabric.clip_gradients(
                        self.trained, optimizer, max_norm=self.train.clip, error_if_nonfinite=False
                    )
                optimizer.step()
        if self.averages is not None:
            self.averages.update()
        return found

    def _judge(self, sums: list[float], began: float) -> None:
        """Validate; keep the weights if they are the best so far."""
        loss, hits, n = sums
        metrics = self.built.judge(self.judged, self.validation, self.fabric, self._look)
        seconds = time.monotonic() - began
        row = {"epoch": self.place.epoch - 1, "train_loss": loss / n, "train_accuracy": hits / n, **metrics}
        if len(self.built.stages) > 1:
            row["stage"] = self.place.stage
        row |= self.built.mitigation.told()
        row |= {"lr": self.optimizers[0].param_groups[0]["lr"], "seconds": seconds, "images_per_s": n / seconds}
        self.bettered = False
        try:
            last = self.built.stages[self.place.stage].keeps == "last"
            better = self.bettered = self.kept.take(row, metrics, "last" if last else self.train.monitor)
        finally:
            self.diary.history(self.kept)
        if better and self.place.stage + 1 < len(self.built.stages):
            self.kept.state = {k: v.detach().clone() for k, v in self._best_model().state_dict().items()}
        for schedule in self.schedules:
            schedule.after_epoch(metrics.get(self.train.monitor, 0.0))
        self.diary.line(row, metrics, better)

    def _best_model(self) -> nn.Module:
        return self.network.model if self.averages is None else self.averages.model

    def _stage_is_over(self) -> bool:
        patience = self.train.early_stopping
        out_of_patience = patience is not None and self.kept.waited() >= patience
        return out_of_patience or self.place.stage_epoch >= self.built.epochs(self.place.stage)

    def _leave_stage(self) -> None:
        """Go to the next stage, if there is one, with the weights that it begins with."""
        if self.diary.writes:
            self.built.mitigation.leave(self.place.stage, self.diary.folder)
        self.place.stage, self.place.stage_epoch, self.place.step = self.place.stage + 1, 0, 0
        self.optimizers, self.schedules = [], []
        if self.place.stage == len(self.built.stages):
            return
        # The method sees the best network of the stage before, whatever the next one begins with.
        self.network.model.load_state_dict(self.kept.state)
        self.built.mitigation.begin(self.place.stage, self._logits)
        if self.built.stages[self.place.stage].begins == "start":
            self.network.load_state_dict(self.start, strict=False)
        if self.averages is not None:  # a stage is averaged over its own end
            self.averages.load_state_dict({"n": 0, "model": self.network.model.state_dict()})
        self.kept.best, self.kept.state = {}, {}

    @torch.inference_mode()
    def _logits(self) -> NDArray[np.float32]:
        """``(n, K)`` of all training faces under the plain network as it stands."""
        n = len(self.faces)
        numbers = BatchNumbers(in_order(n), n, 2 * self.train.batch_size)
        model = self.built.mitigation.plain(self.network.model).eval()
        found = []
        for batch in loader(self.faces.as_they_are(), numbers):
            x = self.network.pictures.judged(batch.images.to(self.fabric.device))
            with self.network.pictures.computing(self.fabric.device):
                logits, _ = split_outputs(model(x), self.network.numbers)
            found.append(logits.float().cpu().numpy())
            self.check()
        return np.concatenate(found)

    def _steps_done(self) -> tuple[int, int]:
        """Steps of the run done and in all, if all stages have as many a epoch as this one."""
        done = sum(self.built.epochs(s) for s in range(self.place.stage)) * len(self.numbers) + self.place.step
        return done, self.built.all_epochs * len(self.numbers)

    def _save(self) -> None:
        if self.fabric.global_rank:
            return
        content = {
            **vars(self.place),
            "network": self.network.state_dict(),
            "average": {} if self.averages is None else self.averages.state_dict(),
            "optimizers": [o.optimizer.state_dict() for o in self.optimizers],
            "schedules": [s.state_dict() for s in self.schedules],
            **vars(self.kept),
        }
        save_checkpoint(self.checkpoint, content)

    def _take_up(self, state: dict[str, Any]) -> None:
        self.place = place = Place(*(state[k] for k in ("stage", "epoch", "stage_epoch", "step")))
        if place.stage > len(self.built.stages) or [row["epoch"] for row in state["rows"]] != list(range(place.epoch)):
            raise ValueError(f"stage {place.stage} and epoch {place.epoch} with {len(state['rows'])} rows of history")
        self.saved, self.kept = place.epoch, Kept(state["best"], state["rows"], state["state"])
        self.written = self.diary.best_there()
        self.ahead = int(self.written.get("epoch", -1)) + 1
        self.network.load_state_dict(state["network"])
        if self.averages is not None:
            self.averages.load_state_dict(state["average"])
