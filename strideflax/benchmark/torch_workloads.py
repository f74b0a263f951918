"""The workloads in PyTorch, on its accelerator if it sees one, else on the CPU with a thread for each core."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from strideflax.benchmark import workloads
from strideflax.benchmark.contenders import CUDA_GRAPHS, Contender, Prepared
from strideflax.benchmark.workloads import Increment, OperatorCall, Product, Step, Workload
from strideflax.config import Config
from strideflax.export.torch_net import POOLS, MiniResNet

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def describe(contender: Contender) -> dict[str, Any]:
    """Return PyTorch's version, threads and vector instructions, after giving it a thread for each core it may use.

    `torch.compile` is tried here, so that a machine without a compiler says so at once.
    """
    if hasattr(os, "sched_getaffinity"):
        torch.set_num_threads(len(os.sched_getaffinity(0)))
    if contender.compile_mode is not None:
        _compiled(lambda x: x + 1, contender)(torch.ones(4, device=DEVICE))
    name = torch.cuda.get_device_name() if DEVICE == "cuda" else f"cpu, {torch.backends.cpu.get_cpu_capability()}"
    return {"device": name, "threads": torch.get_num_threads(), "versions": {"torch": torch.__version__}}


def prepare(workload: Workload, contender: Contender, weights: Path) -> Prepared:
    """Return ``workload`` ready to be called; a step starts from the initial weights in ``weights``.

    On CUDA float32 is computed in TF32, as XLA does.
    """
    if DEVICE == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
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

    return Prepared(finished, facts | _arithmetic(workload.dtype))


def _arithmetic(dtype: str) -> dict[str, Any]:
    """Return how a product of that type is computed, and whether it gives the same bits each time."""
    if DEVICE == "cpu":
        return {"arithmetic": dtype, "deterministic": True}
    has_tf32 = dtype == "float32" and torch.cuda.get_device_capability() >= (8, 0)
    return {
        "arithmetic": "tf32" if has_tf32 else dtype,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }


def _compiled(function: Callable[..., Any], contender: Contender) -> Callable[..., Any]:
    """Return ``function`` as the contender runs it."""
    if contender.compile_mode is None:
        return function
    if contender.compile_mode == CUDA_GRAPHS and DEVICE != "cuda":
        raise ValueError("CUDA graphs need CUDA")
    return torch.compile(function, mode=contender.compile_mode)


def _step(workload: Step, contender: Contender, weights: Path) -> tuple[Callable[[], object], dict[str, Any]]:
    if (workload.steps, workload.seeds) != (1, 1):
        raise ValueError("in PyTorch, a call is one step of one seed")
    config, size = Config.from_dict(workload.config), workload.batch
    layout = torch.channels_last if contender.channels_last else torch.contiguous_format
    net = MiniResNet(workload.config["model"])
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
    loss_function = _compiled(loss_of, contender)
    update = _sgd(net, config)
    totals, steps = torch.zeros(2, device=DEVICE), 0

    def call() -> None:
        nonlocal steps
        if contender.compile_mode == CUDA_GRAPHS:
            torch.compiler.cudagraph_mark_step_begin()  # what the last step returned may be overwritten
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


def multiply_adds(net: nn.Module, size: Sequence[int]) -> int:
    """Return the multiply-adds of the convolutions (filters apart) and the classifier for one image, seen as they run."""
    total = 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        assert isinstance(module, (nn.Conv2d, nn.Linear))
        total += output[0].numel() * module.weight[0].numel()

    counted = [module for module in net.modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    hooks = [module.register_forward_hook(count) for module in counted]
    training = net.training
    with torch.no_grad():
        net.eval()(torch.zeros(1, 3, *size, device=next(net.parameters()).device))
    net.train(training)
    for hook in hooks:
        hook.remove()
    return total


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


CHANNELS_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}  # by spatial axes; one has no such layout


def _operator(workload: OperatorCall, contender: Contender) -> tuple[Callable[[], object], dict[str, Any]]:
    x, kernel, cotangent = (torch.from_numpy(array) for array in workload.arrays())
    x, cotangent = x.movedim(-1, 1), cotangent.movedim(-1, 1)
    kernel = kernel.movedim(-1, 0).movedim(-1, 1)
    layout = torch.contiguous_format
    if contender.channels_last:
        layout = CHANNELS_LAST.get(workload.axes, layout)
    dtype = getattr(torch, workload.dtype)
    x, kernel, cotangent = (t.to(DEVICE, dtype).contiguous(memory_format=layout) for t in (x, kernel, cotangent))
    learned = workload.has_kernel
    pool = None
    if not learned:
        strides = (workload.stride, workload.stride)
        pool = POOLS[workload.operator](x.shape[1], strides, "SYMMETRIC", workload.window).to(DEVICE)

    def apply(x: Tensor, kernel: Tensor) -> Tensor:
        return pool(x) if pool is not None else _convolved(x, kernel, workload)

    function = _compiled(apply, contender)
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
    results = [_plain(y.movedim(1, -1))]
    for tensor, gradient in zip(wanted, gradients, strict=False):  # no gradients without a backward pass
        in_our_order = gradient.movedim(1, -1) if tensor is x else gradient.movedim(1, -1).movedim(0, -1)
        results.append(_plain(in_our_order))
    return call, workloads.results_of(results)


def _convolved(x: Tensor, kernel: Tensor, workload: OperatorCall) -> Tensor:
    how = {"stride": workload.stride, "padding": workload.padding, "groups": workload.groups}
    how["dilation"] = workload.dilation
    if workload.operator == "conv_transpose":
        how["output_padding"] = workload.stride - workload.window + 2 * workload.padding
        transposed = (functional.conv_transpose1d, functional.conv_transpose2d, functional.conv_transpose3d)
        return transposed[workload.axes - 1](x, kernel, **how)
    return (functional.conv1d, functional.conv2d, functional.conv3d)[workload.axes - 1](x, kernel, **how)


def _product(workload: Product) -> tuple[Callable[[], object], dict[str, Any]]:
    first, second = (torch.from_numpy(array).to(DEVICE, getattr(torch, workload.dtype)) for array in workload.arrays())
    return lambda: first @ second, workloads.results_of([_plain((first @ second)[: workloads.CHECKED_ROWS])])


def _increment(workload: Increment) -> tuple[Callable[[], object], dict[str, Any]]:
    numbers = torch.from_numpy(workload.array()).to(DEVICE, getattr(torch, workload.dtype))
    return lambda: numbers.add_(1), workloads.results_of([_plain(numbers[: workloads.CHECKED_NUMBERS] + 1)])


def _plain(tensor: Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.detach().float().cpu().numpy())
