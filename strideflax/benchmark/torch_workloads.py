"""The workloads in PyTorch, on its accelerator if it sees one, else on the CPU with a thread for each core."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from strideflax.benchmark import workloads
from strideflax.benchmark.contenders import Contender, Prepared
from strideflax.benchmark.torch_net import MiniResNet, Pool, multiply_adds
from strideflax.benchmark.workloads import Increment, OperatorCall, Product, Step, Workload
from strideflax.config import Config

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def describe(contender: Contender) -> dict[str, Any]:
    """Return PyTorch's version, threads and vector instructions, after giving it a thread for each core it may use.

    `torch.compile` is tried here, so that a machine without a compiler says so at once.
    """
    if hasattr(os, "sched_getaffinity"):
        torch.set_num_threads(len(os.sched_getaffinity(0)))
    if contender.compiled:
        torch.compile(lambda x: x + 1)(torch.ones(4, device=DEVICE))
    name = torch.cuda.get_device_name() if DEVICE == "cuda" else f"cpu, {torch.backends.cpu.get_cpu_capability()}"
    return {"device": name, "threads": torch.get_num_threads(), "versions": {"torch": torch.__version__}}


def prepare(workload: Workload, contender: Contender, weights: Path) -> Prepared:
    """Return ``workload`` ready to be called; a step starts from the initial weights in ``weights``."""
    if isinstance(workload, Step):
        call, facts = _step(workload, contender, weights)
    elif isinstance(workload, OperatorCall):
        call, facts = _operator(workload, contender)
    elif isinstance(workload, Product):
        call, facts = _product(workload)
    else:
        call, facts = _increment(workload)

    def finished() -> None:
        call()
        if DEVICE == "cuda":
            torch.cuda.synchronize()

    return Prepared(finished, facts)


def _step(workload: Step, contender: Contender, weights: Path) -> tuple[Callable[[], object], dict[str, Any]]:
    if (workload.steps, workload.seeds) != (1, 1):
        raise ValueError("in PyTorch, a call is one step of one seed")
    config, size = Config.from_dict(workload.config), workload.batch
    layout = torch.channels_last if contender.channels_last else torch.contiguous_format
    net = MiniResNet(config.model)
    with np.load(weights) as stored:
        net.load(stored)
    net = net.to(DEVICE)
    for parameter in net.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=layout)
    split = workload.images()
    images = torch.from_numpy(split.images).permute(0, 3, 1, 2).to(DEVICE).contiguous(memory_format=layout)
    labels = torch.from_numpy(split.labels).long().to(DEVICE)
    order = torch.arange(len(split), device=DEVICE)
    mean, std = (
        255 * torch.tensor(numbers, device=DEVICE)[:, None, None] for numbers in (workloads.MEAN, workloads.STD)
    )
    smoothing, bfloat16 = config.optimizer.label_smoothing, workload.dtype == "bfloat16"

    def forward(images: Tensor) -> Tensor:
        with torch.autocast(DEVICE, dtype=torch.bfloat16, enabled=bfloat16):
            return net((images.float() - mean) / std)

    def loss_of(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        logits = forward(images)
        return functional.cross_entropy(logits, labels, label_smoothing=smoothing), (logits.argmax(-1) == labels).sum()

    net.eval()
    with torch.no_grad():
        logits = forward(images[: workloads.CHECKED_IMAGES])
    net.train()
    loss_function = torch.compile(loss_of) if contender.compiled else loss_of
    update = _sgd(net, config)
    totals, steps = torch.zeros(2, device=DEVICE), 0

    def call() -> None:
        nonlocal steps
        start = steps * size % len(split)
        batch = order[start : start + size]
        loss, correct = loss_function(images[batch], labels[batch])
        loss.backward()
        update()
        totals[0] += loss.detach()
        totals[1] += correct
        steps += 1

    for _ in range(workloads.CHECKED_STEPS):
        call()
    facts = {
        "params": sum(parameter.numel() for parameter in net.parameters()),
        "macs": multiply_adds(net, split.images.shape[1:3]),
        "logits": logits.tolist(),
        "loss_sum": totals[0].item(),
    }
    return call, facts


def _sgd(net: MiniResNet, config: Config) -> Callable[[], None]:
    """Return strideflax's update: Nesterov momentum, with weight decay of the kernels outside of it."""
    options = config.optimizer
    if options.name != "sgd" or options.clip_norm:
        raise ValueError("in PyTorch, config.optimizer must be sgd without clipping")
    kernels: list[Tensor] = [parameter for parameter in net.parameters() if parameter.ndim > 1]
    optimizer = torch.optim.SGD(
        net.parameters(), options.learning_rate, momentum=options.momentum, nesterov=options.momentum > 0
    )
    shrink = 1 - options.learning_rate * options.weight_decay

    def update() -> None:
        with torch.no_grad():
            torch._foreach_mul_(kernels, shrink)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return update


def _operator(workload: OperatorCall, contender: Contender) -> tuple[Callable[[], object], dict[str, Any]]:
    x, kernel, cotangent = (torch.from_numpy(array) for array in workload.arrays())
    x, cotangent = x.permute(0, 3, 1, 2), cotangent.permute(0, 3, 1, 2)
    kernel = kernel.permute(3, 2, 0, 1)
    layout = torch.channels_last if contender.channels_last else torch.contiguous_format
    dtype = getattr(torch, workload.dtype)
    x, kernel, cotangent = (t.to(DEVICE, dtype).contiguous(memory_format=layout) for t in (x, kernel, cotangent))
    learned = workload.operator == "conv"
    pool = None if learned else Pool(workload.operator, workload.window, workload.stride, x.shape[1]).to(DEVICE)

    def apply(x: Tensor, kernel: Tensor) -> Tensor:
        return pool(x) if pool is not None else functional.conv2d(x, kernel, None, workload.stride, workload.padding)

    function = torch.compile(apply) if contender.compiled else apply
    wanted = []
    if workload.input_gradient:
        wanted.append(x)
    if learned:
        wanted.append(kernel)

    def call() -> tuple[Tensor, ...]:
        y = function(x, kernel)
        return y, *(torch.autograd.grad(y, wanted, cotangent) if workload.backward else ())

    if workload.backward:
        for tensor in wanted:
            tensor.requires_grad_()
    y, *gradients = call()
    results = [_plain(y.permute(0, 2, 3, 1))]
    for tensor, gradient in zip(wanted, gradients, strict=False):  # no gradients without a backward pass
        axes = (0, 2, 3, 1) if tensor is x else (2, 3, 1, 0)
        results.append(_plain(gradient.permute(axes)))
    return call, workloads.results_of(results)


def _product(workload: Product) -> tuple[Callable[[], object], dict[str, Any]]:
    first, second = (torch.from_numpy(array).to(DEVICE, getattr(torch, workload.dtype)) for array in workload.arrays())
    return lambda: first @ second, workloads.results_of([_plain(first @ second)])


def _increment(workload: Increment) -> tuple[Callable[[], object], dict[str, Any]]:
    numbers = torch.from_numpy(workload.array()).to(DEVICE, getattr(torch, workload.dtype))
    return lambda: numbers.add_(1), workloads.results_of([_plain(numbers[: workloads.CHECKED_NUMBERS] + 1)])


def _plain(tensor: Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.detach().float().cpu().numpy())
