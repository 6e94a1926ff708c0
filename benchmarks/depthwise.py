"""What depthwise networks gain from learning their strided and wide convolutions in single precision.

    python benchmarks/depthwise.py [--rounds 9] [--size 48] [--batch 64]

Forward and back through a network of drawn weights and faces, without optimiser, in turns: in single precision, in
bf16, and in bf16 with :func:`mien.train.depthwise.single_precision_depthwise`, as `mien run` does it. Printed: medians
in milliseconds. Nothing else should run beside it.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from mien.models import MODELS
from mien.train.depthwise import single_precision_depthwise
from where import commit, machine

NETWORKS = ("mobilenet_v2", "mobilenet_v3_small", "efficientnet_b0", "efficientnet_lite0", "latent_mbconv", "mienet")


def main() -> None:
    """Measure all in turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--size", type=int, default=48)
    parser.add_argument("--batch", type=int, default=64)
    args = parser.parse_args()
    print(f"{machine()}, commit {commit()}, {torch.get_num_threads()} threads, {args.batch} faces of {args.size} px")
    print(f"{'network':<20}{'single':>9}{'bf16':>9}{'ours':>9}   bf16 / ours   convolutions")
    for name in NETWORKS:
        told, found = measured(name, args)
        one, half, ours = told
        print(f"{name:<20}{one:>9.1f}{half:>9.1f}{ours:>9.1f}   {half / ours:>11.2f}   {found}", flush=True)


def measured(name: str, args: argparse.Namespace) -> tuple[list[float], int]:
    """Milliseconds of a network's three ways, and how many of its convolutions learn in single precision."""
    torch.manual_seed(0)
    networks = [MODELS.get(name)(7, 1).train().to(memory_format=torch.channels_last) for _ in range(3)]
    found = single_precision_depthwise(networks[2])
    x = torch.rand(args.batch, 1, args.size, args.size).contiguous(memory_format=torch.channels_last)
    times: list[list[float]] = [[], [], []]
    for number in range(args.rounds + 1):
        for network, half, taken in zip(networks, (False, True, True), times, strict=True):
            began = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                network.forward_train(x).logits.float().square().mean().backward()
            if number:
                taken.append(1e3 * (time.perf_counter() - began))
    return [statistics.median(taken) for taken in times], found


if __name__ == "__main__":
    main()
