"""The loss of the worst groups counts most: distributionally robust optimisation over groups."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from mien.mitigation import MITIGATIONS
from mien.mitigation.base import Attributes, Mitigation, Needs, Step, mean_over_processes
from mien.mitigation.faces import Faces
from mien.mitigation.soft_cells import cells_of, n_cells


@MITIGATIONS.register("group_dro")
class GroupDro(Mitigation):
    """Groups weigh by q, which grows with their loss: q_g <- q_g exp(eta (L_g + C / sqrt(n_g))), brought to a sum of 1.

    The loss is sum_g q_g L_g with L_g = sum_i a_ig l_i / sum_i a_ig, the mean loss of the group's faces in the batch;
    a_ig is 1, or how far a face whose group is perceived belongs to it. A group is that of an attribute, or with
    ``classes`` each class of it. One that has no face in the batch keeps its q but for the
    sum, and adds nothing. With several
    attributes the loss is the mean over them. Faces of unknown group weigh by their share of the batch, as ever.

    It is meant for batches in which every group has faces, and for strong decay of weights: without it a network that
    learns all training faces by heart has no worst group among them.

    Source: Sagawa et al. 2020, "Distributionally robust neural networks for group shifts", algorithm 1 and its
    adjustment for small groups (section 3.3), here of each group for itself; soft groups as in Ghosal and Li 2023,
    "Distributionally robust optimization with probabilistic group".

    Args:
        faces: The training faces.
        by: Attributes.
        classes: Whether each class of a group is a group.
        eta: Step of q (0.01 in the source).
        adjustment: C (0 in the source's first experiments; 1 to 5 in others).
    """

    needs = Needs(training=True)

    def __init__(
        self,
        faces: Faces,
        *,
        by: Attributes,
        classes: bool = True,
        eta: Annotated[float, Field(gt=0, le=10)] = 0.01,
        adjustment: Annotated[float, Field(ge=0, le=100)] = 0.0,
    ) -> None:
        super().__init__(faces)
        self.by, self.classes, self.eta = by, classes, eta
        targets, groups = torch.from_numpy(faces.targets), torch.from_numpy(faces.groups)
        for i, name in enumerate(by):
            n = n_cells(targets, groups[:, faces.blocks[name]], classes=classes)
            present = (n > 0).float()
            # In logarithms: a q that fell to 0 would stay there, however large the loss of its group became.
            self.register_buffer(f"log_q_{i}", (present / present.sum().clamp(min=1)).log())
            self.register_buffer(f"more_{i}", adjustment / n.clamp(min=1).sqrt())

    def loss(self, step: Step) -> Tensor:
        """The weighted mean of the groups' losses; q moves with it."""
        losses = step.losses if step.batch.weights is None else step.losses * step.batch.weights
        return torch.stack([self._robust(step, losses, i) for i in range(len(self.by))]).mean()

    def _robust(self, step: Step, losses: Tensor, i: int) -> Tensor:
        groups = step.batch.groups[:, self.faces.blocks[self.by[i]]]
        cells = cells_of(step.batch.targets, groups, classes=self.classes)
        mass, sums = cells.sum(0), cells.T @ losses
        log_q, more = getattr(self, f"log_q_{i}"), getattr(self, f"more_{i}")
        known = groups.sum(1).clamp(max=1)
        with torch.no_grad():
            # Means over processes, for gradients are averaged over them.
            masses, totals = mean_over_processes(torch.stack([mass, sums.detach()]))
            there, masses = masses > 0, masses.clamp(min=1e-12)
            step_of = torch.where(there, self.eta * (totals / masses + more), 0.0)
            log_q.copy_((log_q + step_of).log_softmax(0))
            q = log_q.exp()
            share = mean_over_processes(known.mean())
        robust = torch.where(there, q * sums / masses, 0.0).sum()
        return share * robust + ((1 - known) * losses).sum() / len(losses)
