"""What validation finds: loss, accuracy, and the worst of the classes and of the groups."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from mien.losses.numbers import MOMENTS, NumberHead, agreement, moments
from mien.metrics import balanced_accuracy, macro_f1, macro_precision, per_class_recall
from mien.mitigation.base import Batch
from mien.mitigation.faces import Faces
from mien.models.blocks import ExpressionModel
from mien.train.network import Head, Pictures, hits, split_outputs


def summed(steps: list[Tensor], fabric: Fabric) -> Tensor:
    """The sums of all steps of all processes, in double precision on the processor: here alone it waits."""
    total = torch.stack(steps).cpu().double().sum(0)
    if fabric.world_size == 1:
        return total
    return fabric.all_reduce(total.to(fabric.device), reduce_op="sum").cpu()  # type: ignore[union-attr]


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Measures a network on the validation faces.

    Attributes:
        heads: What it tells.
        faces: The validation faces; their groups are those of ``train.watch``.
        pictures: From uint8 to what the network sees, in one view or several.
        min_n: A group of fewer faces is no worst group: chance would choose it.
        min_class_n: The same of classes.
        numbers: What it tells beside the heads.
    """

    heads: tuple[Head, ...]
    faces: Faces
    pictures: Pictures
    min_n: int
    min_class_n: int
    numbers: tuple[NumberHead, ...] = ()

    @torch.inference_mode()
    def __call__(
        self, model: ExpressionModel, batches: Iterable[Batch], fabric: Fabric, check: Callable[[], None]
    ) -> dict[str, float]:
        """``val_loss`` (cross-entropy to the evaluation targets, summed over heads), ``val_accuracy`` and the rest.

        With one head also ``val_balanced_accuracy``, ``val_macro_precision`` and ``val_macro_f1`` of the classes, each
        face counted by the first of the classes with the largest share.
        With several heads or views: means over the views, accuracy over the heads too, and each by
        itself as ``val_accuracy_<head>[_small_grey]``. ``val_worst_class`` and ``val_worst_group`` are there
        where a class or group has enough faces; the accuracy of each group is ``val_accuracy_<attribute>=<group>``.
        Of a number there are ``val_rmse_<number>``, the root mean squared error over the faces of which it is known,
        and ``val_ccc_<number>``, the concordance correlation coefficient; means over the views, not part of the loss,
        and absent where undefined.

        Args:
            model: The network.
            batches: The validation faces.
            fabric: Where it is computed.
            check: Called after each batch.
        """
        model.eval()
        sums = []
        for batch in batches:
            # Several processes have a share each; on a card, pictures of a store with no room there are moved here.
            batch = fabric.to_device(batch)
            sums.append(torch.stack([self._sums(model, batch, view) for view in self.pictures.views]))
            check()
        return self._metrics(summed(sums, fabric))

    def _sums(self, model: ExpressionModel, batch: Batch, view: str) -> Tensor:
        """Of each head cross-entropy, hits, faces; confusion; hits and faces of groups. Then sums of the numbers."""
        with self.pictures.computing(batch.images.device):  # of the network alone: bf16 counts to 256 and no further
            logits = model(self.pictures.judged(batch.images, view)).float()
        logits, numbers = split_outputs(logits, self.numbers)
        found = []
        for head in self.heads:
            z, t = logits[:, head.block], batch.targets[:, head.block]
            hit = hits(z, t)
            first, said = (torch.zeros_like(t).scatter_(1, x.argmax(1, keepdim=True), 1.0) for x in (t, z))
            loss = -(t * z.log_softmax(1)).sum(1)
            parts = [torch.stack([loss.sum(), hit.sum(), torch.full_like(hit.sum(), len(t))])]
            parts += [(first.T @ said).flatten(), batch.groups.T @ hit, batch.groups.sum(0)]
            found.append(torch.cat(parts))
        if batch.numbers is not None:
            found += [moments(own.values(numbers), batch.numbers[:, own.block]) for own in self.numbers]
        return torch.cat(found)

    def _metrics(self, total: Tensor) -> dict[str, float]:
        views, n_groups = self.pictures.views, self.faces.groups.shape[1]
        by_head, tables, groups = [], [], []
        widths = [self._width(head, n_groups) for head in self.heads]
        *blocks, numbers = torch.split(total, [*widths, total.shape[1] - sum(widths)], dim=1)
        for block in blocks:
            n_cells = block.shape[1] - 3 - 2 * n_groups
            k = math.isqrt(n_cells)
            head, cells, group_hits, group_n = torch.split(block, [3, n_cells, n_groups, n_groups], dim=1)
            by_head.append(head)
            tables.append(cells.reshape(-1, k, k).numpy())
            groups.append((group_hits.mean(0), group_n[0]))
        sums = torch.stack(by_head, dim=1)  # views x heads x 3
        loss, hit = (sums[..., k] / sums[..., 2] for k in (0, 1))
        metrics = {"val_loss": float(loss.sum(1).mean()), "val_accuracy": float(hit.mean())}
        if hit.numel() > 1:
            for i, view in enumerate(views):
                for j, own in enumerate(self.heads):
                    metrics["_".join(filter(None, ("val_accuracy", own.name, view)))] = float(hit[i, j])
        if len(tables) == 1:
            of = {"balanced_accuracy": balanced_accuracy, "macro_precision": macro_precision, "macro_f1": macro_f1}
            metrics |= {f"val_{name}": float(metric(tables[0]).mean()) for name, metric in of.items()}
        sizes = [each[0].sum(1) for each in tables]
        recalls = [per_class_recall(each).mean(0)[n >= self.min_class_n] for each, n in zip(tables, sizes, strict=True)]
        if any(len(r) for r in recalls):
            metrics["val_worst_class"] = float(np.concatenate(recalls).min())
        return metrics | self._of_groups(groups) | self._of_numbers(numbers)

    def _of_numbers(self, sums: Tensor) -> dict[str, float]:
        """From ``(views, 6 M)`` sums."""
        found = {}
        columns = [column for own in self.numbers for column in own.columns]
        for i, column in enumerate(columns):
            views = [agreement(view[MOMENTS * i : MOMENTS * (i + 1)]) for view in sums]
            for name, values in zip(("rmse", "ccc"), zip(*views, strict=True), strict=True):
                found[f"val_{name}_{column}"] = sum(values) / len(values)
        return {name: value for name, value in found.items() if not math.isnan(value)}

    def _of_groups(self, groups: list[tuple[Tensor, Tensor]]) -> dict[str, float]:
        hit, n = torch.stack([h for h, _ in groups]).mean(0), groups[0][1]
        names = [f"{attribute}={group}" for attribute, own in self.faces.attributes.items() for group in own]
        found = {f"val_accuracy_{name}": float(h / m) for name, h, m in zip(names, hit, n, strict=True) if m > 0}
        enough = n >= self.min_n
        return found | ({"val_worst_group": float((hit / n)[enough].min())} if enough.any() else {})

    @staticmethod
    def _width(head: Head, n_groups: int) -> int:
        k: int = head.block.stop - head.block.start
        return 3 + k * k + 2 * n_groups
