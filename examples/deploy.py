"""A model in C and in ONNX
========================

This script trains a character model, writes it in C99, compiles it and runs it without Python. It also exports one step
to ONNX. All versions write the same text::

    python examples/deploy.py
    python examples/deploy.py --folder firmware

It takes about 20 seconds on one core. It makes three programs: in `float32`; with weights of 8 bits; and in `int8`,
where a step computes only with integers, for a processor without floating point. The losses are those of the tenth of
the text that was held out. If there is no C compiler, the files are written to `--folder` and not run. ONNX needs the
package `onnx`, whose evaluator runs the step here as a runtime does elsewhere.
"""

import argparse
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import tinygrad_rnn as rnn
from tinygrad_rnn import datasets, interop


def trained(ids: Any, V: int, args: argparse.Namespace) -> rnn.Sequential:
    rng = np.random.default_rng(args.seed)
    model = rnn.Sequential(rnn.OneHot(V), rnn.GRUCell(V, args.hidden, rng=rng), rnn.Linear(args.hidden, V, rng=rng))
    stream = rnn.TokenStream(ids, batch=32, steps=64)
    rnn.fit(model, rnn.SoftmaxCrossEntropy(), rnn.Adam(model, 0.01), stream, steps=args.iterations)
    return model


def deploy(args: argparse.Namespace) -> None:
    """Train a model, write it in three forms, run each, and compare the texts."""
    text = datasets.pydoc_topics()
    tokenizer = rnn.CharTokenizer.from_text(text)
    ids, prompt = tokenizer.encode(text), tokenizer.encode(args.prompt)
    cut = len(ids) * 9 // 10
    model, calibration = trained(ids[:cut], len(tokenizer), args), ids[:4000]
    models: dict[str, Any] = {"float32": model, "int8_weights": interop.round_weights(model)}
    models["int8"] = interop.quantize(model, calibration)
    held_out = rnn.TokenStream(ids[cut:], batch=64, steps=100)
    with TemporaryDirectory() as temporary:
        folder = Path(args.folder or temporary)
        for dtype, same in models.items():
            how: Any = {"dtype": dtype, "calibration": calibration if dtype == "int8" else None}
            files = interop.to_c(model, folder, name=f"{dtype}_rnn", **how)
            size = f"{files.flash:,} bytes of constants, {files.ram:,} of memory"
            print(f"\n{dtype}: {rnn.evaluate(same, held_out):.3f} nats; {size}")
            rng = np.random.default_rng(args.seed)  # of which a temperature of 0 takes nothing
            written = list(rnn.generate(same, prompt, length=args.length, temperature=0.0, rng=rng))
            print(repr(args.prompt + tokenizer.decode(written)))
            if dtype == "float32" and importlib.util.find_spec("onnx"):
                found = run_in_onnx(folder / "rnn.onnx", model, prompt, args.length)
                print("ONNX writes the same text" if found == written else f"ONNX writes {tokenizer.decode(found)!r}")
            if shutil.which("cc") is None:
                print("there is no compiler of C, cc, so it is not run")
                continue
            found = run_in_c(files, "int16_t" if dtype == "int8" else "float", prompt, args.length)
            print("C writes the same text" if found == written else f"C writes {tokenizer.decode(found)!r}")


MAIN = """
#include "{name}.h"
#include <stdio.h>
#include <stdlib.h>

/* Reads the ids of its arguments but the first, and then that many more: each time the one that is the likeliest. */
int main(int count, char **arguments)
{{
    static {name}_state state;
    static {number} y[{upper}_OUT];
    int32_t id = 0;
    int i, j, length = atoi(arguments[1]);
    {name}_init(&state);
    for (i = 2; i < count + length; i++) {{
        if (i < count)
            id = atoi(arguments[i]);
        else
            printf("%ld ", (long)id);
        if ({name}_step(&state, id, y) != 0)
            return 1;
        for (id = 0, j = 1; j < {upper}_OUT; j++)
            if (y[j] > y[id])
                id = j;
    }}
    return 0;
}}
"""


def run_in_c(files: interop.CFiles, number: str, prompt: Any, length: int) -> list[int]:
    """The ids that the compiled model writes."""
    name = files.source.stem
    main, program = files.source.with_name(f"{name}_main.c"), files.source.with_name(name).resolve()
    main.write_text(MAIN.format(name=name, upper=name.upper(), number=number))
    subprocess.run(["cc", "-std=c99", "-O2", str(main), str(files.source), "-o", str(program), "-lm"], check=True)
    done = subprocess.run([str(program), *map(str, [length, *prompt])], check=True, capture_output=True, text=True)
    return [int(word) for word in done.stdout.split()]


def run_in_onnx(path: Path, model: rnn.Sequential, prompt: Any, length: int) -> list[int]:
    """The ids that the model writes as a file of ONNX, which takes the state and gives the next one."""
    from onnx.reference import ReferenceEvaluator

    interop.to_onnx(model, path, step=True)
    step, ids = ReferenceEvaluator(str(path)), list(prompt)
    _, (h,), _ = model.initial_state(1)
    for i in range(len(prompt) + length - 1):
        y, h = step.run(None, {"x": np.array([ids[i]]), "layers.1.h": h})
        if i >= len(prompt) - 1:
            ids.append(int(y[0].argmax()))
    return ids[len(prompt) :]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--iterations", type=int, default=600, help="of the training (600)")
    add("--hidden", type=int, default=64, help="units (64)")
    add("--prompt", default="The ", help="what the text goes on from (The )")
    add("--length", type=int, default=160, help="characters of the text (160)")
    add("--folder", metavar="FOLDER", help="where the files of C stay (they are removed)")
    add("--seed", type=int, default=0, help="of the weights (0)")
    args = parser.parse_args(arguments)
    for name, least in {"iterations": 1, "hidden": 1, "length": 1, "seed": 0}.items():
        if getattr(args, name) < least:
            parser.error(f"--{name} must be at least {least}, not {getattr(args, name)}")
    if not args.prompt:
        parser.error("--prompt must have a character")
    if args.folder is not None and not Path(args.folder).is_dir():
        parser.error(f"--folder {args.folder} is not a folder; make it first")
    deploy(args)


if __name__ == "__main__":
    try:
        main()
    except (ValueError, TypeError, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"deploy: {error}")
