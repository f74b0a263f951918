"""Take a finished run away: as weights, for PyTorch, as an ONNX model, or as a program of JAX.

strideflax export runs/stride2-1a2b3c4d5e6f --to onnx
"""

import argparse
from pathlib import Path

from strideflax.commands.console import console, loading
from strideflax.commands.parsing import add_run_arguments, check_folder
from strideflax.files import write_whole

FORMS = ("safetensors", "npz", "torch", "onnx", "jax")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_run_arguments(parser)
    parser.add_argument("--to", required=True, choices=FORMS, metavar="FORM", help=", ".join(FORMS))
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the files (default: RUN/exported)")


def main(args: argparse.Namespace) -> None:
    """Write the files and print what they are."""
    with loading():
        from strideflax.export import export_run
        from strideflax.training import restore_run

    out = args.out or args.run / "exported"
    check_folder(out, "choose another --out")
    files = export_run(restore_run(args.run, args.config_file), args.to)
    for name, content in files.items():
        write_whole(out / name, content)
        console.print(f"{out / name}: {len(content):,} bytes", markup=False)
