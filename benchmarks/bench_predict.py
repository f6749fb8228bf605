"""Measure the prediction speed of a network, from uint8 images in memory to masks and depth at their size.

    python benchmarks/bench_predict.py [--model tiny] [--size 224] [--cores 2] [--seconds 10]

PyTorch and ONNX Runtime predict on the CPU, with batches of 1 and 32: images of the network's own size (224x224), and
960x640 photos, which are resized to it and back. The weights are random, which costs the same. Rounds of all cases
alternate. The median and the best are printed in images per second of wall-clock time, because other processes can only
slow a run down. The best is also printed by CPU time (`cores` times images per second of CPU time, the speed on idle
cores; threads that wait for each other count as time). `--files N` also measures `qumade predict` on N photos.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny", choices=("tiny", "small", "base"))
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10.0, help="per case, over all rounds")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--files", type=int, default=0)
    options = parser.parse_args()
    # Both libraries count the cores when they are imported.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cores])

    import torch

    from qumade.assets.bundled import bundled_folder
    from qumade.io.decode import read_rgb
    from qumade.io.pictures import list_pictures
    from qumade.models.config import NetworkConfig
    from qumade.models.network import build_network
    from qumade.prediction.export import export_onnx
    from qumade.prediction.files import predict_files
    from qumade.prediction.predictor import load_predictor, torch_predictor

    torch.set_num_threads(options.cores)
    network = build_network(NetworkConfig(model=options.model, size=(options.size, options.size)))
    photos = [Image.fromarray(read_rgb(path)) for path in list_pictures(bundled_folder() / "backgrounds")]
    photos = [photos[n % len(photos)] for n in range(32)]
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "model.onnx"
        print(export_onnx(network, file))
        onnx, ours = load_predictor(file, "cpu"), torch_predictor(network, "cpu")
        cases = {
            (name, f"{width}x{height}", count): (
                predictor,
                [np.asarray(photo.resize((width, height))) for photo in photos[:count]],
            )
            for name, predictor in (("PyTorch", ours), ("ONNX Runtime", onnx))
            for width, height in ((options.size, options.size), (960, 640))
            for count in (1, 32)
        }
        figures: dict[tuple[str, str, int], list[tuple[float, float]]] = {case: [] for case in cases}
        for _ in range(options.rounds):
            for case, (predictor, pictures) in cases.items():
                predictor(pictures)
                done, wall, cpu = 0, time.perf_counter(), time.process_time()
                while time.perf_counter() - wall < options.seconds / options.rounds:
                    predictor(pictures)
                    done += len(pictures)
                figures[case].append((done / (time.perf_counter() - wall), done / (time.process_time() - cpu)))
        print(f"{options.model}, {options.size}x{options.size}, {options.cores} cores; pictures a second:")
        print(f"{'through':14}{'pictures':>10}{'at a time':>11}{'median':>10}{'best':>10}{'best by core time':>20}")
        for (name, size, count), rounds in figures.items():
            by_clock, by_cores = zip(*rounds, strict=True)
            line = f"{statistics.median(by_clock):10.1f}{max(by_clock):10.1f}{options.cores * max(by_cores):20.1f}"
            print(f"{name:14}{size:>10}{count:>11}{line}")
        if options.files:
            (Path(scratch) / "in").mkdir()
            files = [Path(scratch) / "in" / f"{n:05d}.jpg" for n in range(options.files)]
            for n, path in enumerate(files):
                photos[n % 32].resize((960, 640)).save(path, quality=90)
            start = time.perf_counter()
            predict_files(onnx, files, Path(scratch) / "out")
            print(
                f"qumade predict, all outputs of 960x640: {options.files / (time.perf_counter() - start):.1f} a second"
            )


if __name__ == "__main__":
    main()
