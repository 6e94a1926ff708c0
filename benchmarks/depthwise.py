"""What depthwise networks gain from learning their strided and wide convolutions in single precision.

    python benchmarks/depthwise.py [--rounds 15] [--size 48] [--batch 64]

Forward and back through a network of drawn weights and faces, without optimiser, in turns: in single precision, in
bf16, and in bf16 with :func:`mien.train.depthwise.single_precision_depthwise`, as `mien run` does it; then single
depthwise layers. Printed: medians in milliseconds, and quartiles of the rounds' ratios: of ``mienet``, which has no
such convolution, they are noise. Nothing else should run beside it.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import torch
from torch import nn

from mien.models import MODELS
from mien.train.depthwise import single_precision_depthwise
from where import commit, machine

#: Channels, side of the map, kernel, stride.
LAYERS = ((32, 24, 3, 1), (32, 24, 3, 2), (96, 24, 3, 1), (96, 24, 3, 2), (144, 12, 3, 2), (144, 12, 5, 1),
          (144, 12, 5, 2), (672, 3, 5, 2), (1152, 2, 3, 2))  # fmt: skip
NETWORKS = ("mobilenet_v2", "mobilenet_v3_small", "efficientnet_b0", "efficientnet_lite0", "latent_mbconv", "mienet")


def main() -> None:
    """Measure all in turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--size", type=int, default=48)
    parser.add_argument("--batch", type=int, default=64)
    args = parser.parse_args()
    print(f"{machine()}, commit {commit()}, {torch.get_num_threads()} threads, {args.batch} faces of {args.size} px")
    print(f"{'network':<20}{'single':>9}{'bf16':>9}{'ours':>9}   bf16 / ours, quartiles convolutions")
    for name in NETWORKS:
        times, found = measured(name, args)
        one, half, ours = map(statistics.median, times)
        ratios = statistics.quantiles([b / c for b, c in zip(times[1], times[2], strict=True)], n=4)
        ratio = f"{ratios[1]:.2f} ({ratios[0]:.2f} to {ratios[2]:.2f})"
        print(f"{name:<20}{one:>9.1f}{half:>9.1f}{ours:>9.1f}   {ratio:<22}{found}", flush=True)
    layers(args.rounds, args.batch)


def measured(name: str, args: argparse.Namespace) -> tuple[list[list[float]], int]:
    """Milliseconds of a network's three ways, and how many of its convolutions learn in single precision."""
    torch.manual_seed(0)
    networks = [MODELS.get(name)(7, 1).train().to(memory_format=torch.channels_last) for _ in range(3)]
    found = single_precision_depthwise(networks[2])
    x = torch.rand(args.batch, 1, args.size, args.size).contiguous(memory_format=torch.channels_last)
    times: list[list[float]] = [[], [], []]
    for number in range(args.rounds + 1):
        for i in np.random.default_rng(number).permutation(3):  # who comes after whom is nobody's cost
            began = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16, enabled=bool(i)):
                networks[i].forward_train(x).logits.float().square().mean().backward()
            if number:
                times[i].append(1e3 * (time.perf_counter() - began))
    return times, found


def layers(rounds: int, batch: int) -> None:
    """Forward and back through single depthwise layers, in single precision and in bf16, in turns."""
    print(f"{'channels, side, kernel, stride':<32}{'single':>9}{'bf16':>9}   bf16 / single")
    for channels, side, kernel, stride in LAYERS:
        made = nn.Conv2d(channels, channels, kernel, stride, kernel // 2, groups=channels, bias=False)
        layer = made.to(memory_format=torch.channels_last)
        x = torch.rand(batch, channels, side, side).contiguous(memory_format=torch.channels_last)
        inputs = [x.clone().requires_grad_(True), x.bfloat16().requires_grad_(True)]
        times: list[list[float]] = [[], []]
        for number in range(rounds + 1):
            for i in np.random.default_rng(number).permutation(2):
                began = time.perf_counter()
                with torch.autocast("cpu", torch.bfloat16, enabled=bool(i)):
                    layer(inputs[i]).float().sum().backward()
                if number:
                    times[i].append(1e3 * (time.perf_counter() - began))
        one, half = (statistics.median(taken) for taken in times)
        print(
            f"{f'{channels}, {side}, {kernel}, {stride}':<32}{one:>9.2f}{half:>9.2f}   {half / one:>13.1f}", flush=True
        )


if __name__ == "__main__":
    main()
