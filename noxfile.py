"""The sessions of the project. `nox -l` lists them; each builds its own environment and needs nothing but nox."""

from __future__ import annotations

import contextlib
import os
import shutil
import tarfile
import zipfile
from pathlib import Path

import nox
from nox.command import CommandFailed

nox.needs_version = ">=2025.11.12"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = True

PROJECT = nox.project.load_toml("pyproject.toml")

# pyenv puts shims of all its Pythons on the path, which fail but for the global ones: let the real ones come after.
PYENV = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
os.environ["PATH"] = os.pathsep.join([os.environ["PATH"], *map(str, sorted(PYENV.glob("versions/*/bin")))])

# The tests start many processes, and uv installs no bytecode: where none may be kept, each of them compiles NumPy anew,
# and the tests take twice as long.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def needs(*groups: str) -> list[str]:
    """The requirements of dependency groups of pyproject.toml."""
    return list(nox.project.dependency_groups(PROJECT, *groups))


# In as many processes as there are cores, a file of tests in one of them, in the order of tests/conftest.py.
PARALLEL = ("-n", "auto", "--dist", "loadfile", "--no-loadscope-reorder")


QUICK = ("core", "layers", "models")

# In each process that imports NumPy, a thread of OpenBLAS that has nothing to do keeps its core busy for some 80 ms.
# The tests start many, and need all cores: let it sleep after 2**4 cycles.
SLEEPY = {"OPENBLAS_THREAD_TIMEOUT": "4"}


def pytest(
    session: nox.Session, *arguments: str, success_codes: tuple[int, ...] = (0,), env: dict[str, str] | None = None
) -> None:
    # The script, not `python -m pytest`, which puts the working directory before the package that was installed.
    session.run("pytest", "--installed", *arguments, success_codes=success_codes, env=SLEEPY | (env or {}))


def install(session: nox.Session, *requirements: str) -> None:
    """By uv, in the session's own environment where nox has found none: pip takes half a minute longer."""
    if session.venv_backend != "uv":
        with contextlib.suppress(CommandFailed):  # uv does not read the settings of pip
            session.install("uv")
            session.run("uv", "pip", "install", "-q", *requirements)
            return
    session.install(*requirements)


def tests(session: nox.Session) -> None:
    """Every test against the installed wheel, with the shapes checked."""
    install(session, ".", *needs("tests"))
    pytest(session, *PARALLEL, "--check-shapes", *session.posargs)


def typecheck(session: nox.Session) -> None:
    """mypy, strict."""
    install(session, *PROJECT["project"]["dependencies"], *needs("typecheck"))
    session.run("mypy", "--num-workers", str(os.cpu_count() or 1), *session.posargs)


@nox.session(default=False)
def quick(session: nox.Session) -> None:
    """The gradients and the contract of every layer, and the tests of single layers: no example and no mutant."""
    install(session, ".", *needs("quick"))
    pytest(session, "-n", "auto", "tests/test_table.py", *(f"tests/{folder}" for folder in QUICK), *session.posargs)


# With the Python that runs nox; with another where its version is added to the name, as in `nox -s tests-3.12`.
for function in (tests, typecheck):
    nox.session(name=function.__name__)(function)
    for version in nox.project.python_versions(PROJECT):
        nox.session(name=f"{function.__name__}-{version}", python=version, default=False)(function)


@nox.session
def lint(session: nox.Session) -> None:
    """ruff and codespell."""
    session.install(*needs("lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    ban = '--config=lint.flake8-tidy-imports.banned-api.cupy.msg = "Only core/device.py and kernels/ import cupy."'
    but = "--exclude=tinygrad_rnn/core/device.py,tinygrad_rnn/kernels"
    session.run("ruff", "check", "--isolated", "--select=TID251", ban, but, "tinygrad_rnn")
    session.run("codespell")


@nox.session
def docs(session: nox.Session) -> None:
    """Run the examples, build the documentation, warnings being errors, run the code in it, and test its notebooks."""
    session.install(".", *needs("docs"))
    for builder in ("html", "doctest"):  # the second one takes the pages as the first one read them
        where = ("-d", "docs/_build/doctrees", "docs", f"docs/_build/{builder}")
        session.run("sphinx-build", "-q", "-W", "--keep-going", "-b", builder, *where)
    pytest(session, "tests/docs/test_notebooks.py")


@nox.session
def examples(session: nox.Session) -> None:
    """The examples, in their small mode."""
    session.install(".", *needs("tests"))
    pytest(session, "tests/examples", *session.posargs)


@nox.session
def build(session: nox.Session) -> None:
    """The sdist, and the wheel from it: they hold what git does and nothing else, and the wheel can be imported."""
    session.install(*needs("build"))
    folder = Path(session.create_tmp()) / "dist"
    shutil.rmtree(folder, ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", str(folder))
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    session.run("twine", "check", "--strict", str(sdist), str(wheel))
    session.run("check-wheel-contents", str(wheel))

    listed = session.run("git", "ls-files", "--cached", external=True, silent=True)
    files = {name for name in str(listed).splitlines() if Path(name).exists()}
    with tarfile.open(sdist) as archive:
        unpacked = {member.name.partition("/")[2] for member in archive if member.isfile()}
    differ(session, sdist, unpacked, files | {"PKG-INFO"})
    with zipfile.ZipFile(wheel) as zipped:
        package = {name for name in zipped.namelist() if ".dist-info/" not in name}
    differ(session, wheel, package, {name for name in files if name.startswith("tinygrad_rnn/")})
    if "tinygrad_rnn/py.typed" not in package:
        session.error(f"{wheel.name} has no py.typed, so type checkers would ignore its types")

    session.install(str(wheel))
    code = "import tinygrad_rnn; print(tinygrad_rnn.__version__)"
    version = str(session.run("python", "-I", "-c", code, silent=True)).strip()  # -I: not from the working directory
    if f"\nversion: {version}\n" not in Path("CITATION.cff").read_text(encoding="utf-8"):
        session.error(f"CITATION.cff has another version than the package, {version}")


def differ(session: nox.Session, archive: Path, found: set[str], expected: set[str]) -> None:
    """An error where they do."""
    if found != expected:
        lacking, foreign = sorted(expected - found), sorted(found - expected)
        session.error(f"{archive.name} lacks {lacking}, and has {foreign}, which git does not know")


@nox.session(default=False)
def cupy(session: nox.Session) -> None:
    """That CuPy has every name in use, without a GPU; `nox -s tests` skips this, for the wheel of CuPy is large."""
    session.install(".", *needs("cupy"))
    session.run("python", "-c", "import cupy")  # or the tests would be skipped here too
    pytest(session, "-m", "cupy", *session.posargs)


@nox.session(default=False)
def cuda_compile(session: nox.Session) -> None:
    """That NVRTC, which needs no GPU, compiles the kernels, and what they use; on the host, all of their mutants."""
    session.install(".", *needs("cuda-compile"))
    pytest(session, "tests/cuda", "-s", "--all-mutants", *session.posargs)


@nox.session(default=False)
def gpu(session: nox.Session) -> None:
    """On a machine with a GPU: what runs there against the CPU. `nox -s gpu -- 12` for a driver of CUDA 12.

    That is the table of checks, the kernels, the losses and optimizers, 200 steps of training, and two trainings equal
    to the bit. The other tests run without a GPU.
    """
    version, *rest = session.posargs or ["13"]
    session.install(f".[cuda{version}]", *needs("tests"))
    session.run("python", "-c", "import tinygrad_rnn; tinygrad_rnn.Device('cuda')")  # or all would be skipped
    pytest(session, "tests/cuda", *rest)


@nox.session(default=False)
def mpi(session: nox.Session) -> None:
    """Several processes on MPI: the same bits for any number, faults, restarts. With `-- --long`, all trainings."""
    session.install(".[mpi]", *needs("tests"))
    session.run("python", "-c", "from mpi4py import MPI")  # or all would be skipped
    pytest(session, "tests/distributed", *session.posargs)


@nox.session(default=False)
def browser(session: nox.Session) -> None:
    """The pages of the documentation and those of `inspection.report` in a real browser, after `nox -s docs`.

    The browser must be there: Chromium or Chrome.
    """
    session.install(".", *needs("browser"))
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    if not (os.environ.get("BROWSER_PATH") or any(map(shutil.which, names))):  # or all would be skipped
        session.error("there is no browser: run `apt-get install chromium`, or name one by BROWSER_PATH=")
    if not Path("docs/_build/html/index.html").exists():  # or its pages would be skipped
        session.error("there are no pages: run `nox -s docs` before")
    pytest(
        session, "tests/docs/test_pages_in_browser.py", "tests/inspection/test_report_in_browser.py", *session.posargs
    )


@nox.session(default=False)
def mutants(session: nox.Session) -> None:
    """Every mutant of every backward, of which `nox -s tests` tries a sample; and of the methods through time."""
    session.install(".", *needs("tests"))
    pytest(session, "tests/test_mutants.py", "--all-mutants", *session.posargs)
    pytest(session, "tests/through_time/test_mutants_of_methods.py", "--all-mutants", "--long", *session.posargs)


@nox.session(python="3.11", venv_backend="venv", default=False)
def parity(session: nox.Session) -> None:
    """Outputs, gradients and optimizers against PyTorch; `nox -s tests` skips these where it is missing."""
    session.install(".", *needs("parity"))
    pytest(session, "tests/parity", *session.posargs)


@nox.session(python="3.11", venv_backend="venv", default=False)
def interop(session: nox.Session) -> None:
    """Make the golden files of PyTorch, Keras and ONNX anew, apart, and compare random models with all of them."""
    session.install(".", *needs("interop"))
    folder = session.create_tmp()
    for name in ("torch", "keras", "onnx"):
        session.run("python", f"tests/interop/golden/make_{name}.py", folder)
    live = ("tests/parity/test_interop.py", "tests/parity/test_interop_keras.py")
    pytest(session, "-s", "tests/interop", *live, *session.posargs, env={"GOLDEN": str(Path(folder).resolve())})


@nox.session(venv_backend="venv", default=False)
def bench(session: nox.Session) -> None:
    """Measure speed, side by side with PyTorch; or run the script of benchmarks/ that is given, with its options."""
    session.install(".", *needs("bench"))
    if session.posargs:
        session.run("python", *session.posargs)
        return
    for script in ("import_time", "layers", "training_step", "generation", "cost", "checkpointing"):
        session.run("python", f"benchmarks/{script}.py")
