"""The files of Keras 3: a zip with the configuration as JSON and the weights as HDF5. Neither runs code or opens files.

Keras stores arrays whole and unpacked. So every claimed size is compared with what lies in the file, and whatever could
grow when it is read, or lead elsewhere, is refused.
"""

from __future__ import annotations

import io
import json
import os
import stat
import zipfile
from typing import Any

import numpy as np

from ...core.arrays import NDArray
from ...core.files import as_path, check_source, replacing
from ...saving.safe_file import shortened
from ..extras import missing
from ..filling import FLOATS

_MOST_PACKED = 1 << 24  # bytes
_MOST_JSON = 1 << 22  # bytes, of which each may stand for 20 in memory
_DATE = (1980, 1, 1, 0, 0, 0)  # so that a model gives the same bytes at any time


class Weights:
    """The arrays of a file by their paths in it."""

    def __init__(self, file: Any, h5py: Any) -> None:
        self._file, self._h5py = file, h5py

    def count(self, path: str) -> int:
        """How many arrays there are in the group `vars` at a path."""
        group = self._at(f"{path}/vars")
        return len(group) if isinstance(group, self._h5py.Group) else 0

    def take(self, path: str, count: int) -> list[NDArray[Any]]:
        """The arrays `vars/0`, `vars/1`, ... at a path.

        Raises:
            ValueError: there are not as many, or one is not what Keras stores.
        """
        found = self.count(path)
        if found != count:
            raise ValueError(f"{path}/vars has {found} arrays in the file, where {count} were expected")
        return [self._array(f"{path}/vars/{i}") for i in range(count)]

    def _at(self, path: str) -> Any:
        """What lies at a path, without following links out of the file."""
        place: Any = self._file
        for part in path.split("/"):
            if not isinstance(place, self._h5py.Group) or part not in place:
                return None
            if not isinstance(place.get(part, getlink=True), self._h5py.HardLink):
                raise ValueError(f"{path} is a link, which Keras does not write")
            place = place[part]
        return place

    def _array(self, path: str) -> NDArray[Any]:
        data = self._at(path)
        if not isinstance(data, self._h5py.Dataset):
            raise ValueError(f"{path} is missing")
        plain = data.chunks is None and not data.is_virtual and data.external is None
        if not plain or data.size is None or data.id.get_storage_size() != data.nbytes:
            raise ValueError(f"{path} does not lie whole and unpacked in the file, as Keras stores it")
        if str(data.dtype) not in FLOATS or not data.size:
            raise ValueError(f"{path} is {data.dtype} {data.shape}, where {' or '.join(FLOATS)} was expected")
        return np.asarray(data[()])


def read_keras(path: str | os.PathLike[str]) -> tuple[str, Any, Weights]:
    """The call as messages quote it, the configuration (None in a file of weights alone), and the weights.

    Raises:
        ImportError: the package `h5py` is missing.
        FileNotFoundError, IsADirectoryError, PermissionError: `path` is not a file that can be read.
        ValueError: it is no file of Keras 3.
    """
    where = as_path(path, "from_keras")
    call = f"from_keras({where!r})"
    if not stat.S_ISREG(check_source(where, call).st_mode):
        raise ValueError(f"{call}: this is a device, a pipe or a socket; give the path of a file")
    try:
        import h5py
    except ImportError as error:
        raise missing("h5py", "keras", call) from error
    with open(where, "rb") as file:
        data = file.read()
    config = None
    try:
        if data[:2] == b"PK":
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                config = json.loads(_member(archive, "config.json", call))
                data = _member(archive, "model.weights.h5", call)
        weights = h5py.File(io.BytesIO(data), "r")
    except (
        OSError,
        EOFError,
        KeyError,
        RecursionError,
        RuntimeError,
        NotImplementedError,
        zipfile.BadZipFile,
        UnicodeError,
        json.JSONDecodeError,
    ) as error:
        raise ValueError(
            f"{call}: this is no file of Keras 3, or a damaged one ({shortened(error)}); write it by model.save, as "
            ".keras, or model.save_weights, as .weights.h5"
        ) from error
    if config is None and "model_config" in weights.attrs:
        raise ValueError(
            f"{call}: this is a whole model in the format of Keras 1 and 2, whose layers differ; load it in Keras 3, "
            "and save it as .keras"
        )
    return call, config, Weights(weights, h5py)


def _member(archive: zipfile.ZipFile, name: str, call: str) -> bytes:
    """A file in the archive, which must be stored as it is, or be short."""
    info = archive.getinfo(name)
    if name == "config.json" and info.file_size > _MOST_JSON:
        raise ValueError(f"{call}: {name} has {info.file_size:,} bytes, far more than that of a chain of layers")
    if info.compress_type != zipfile.ZIP_STORED and info.file_size > _MOST_PACKED:
        raise ValueError(
            f"{call}: {name} is packed and would take {info.file_size:,} bytes, but Keras stores it as it is; save the "
            "model again"
        )
    with archive.open(info) as file:
        return file.read(info.file_size)


def write_keras(path: str, call: str, config: Any, arrays: dict[str, NDArray[Any]]) -> None:
    """Write a `.keras` file, whole or not at all.

    Raises:
        ImportError: the package `h5py` is missing.
        OSError, ValueError: it could not be written.
    """
    try:
        import h5py
    except ImportError as error:
        raise missing("h5py", "keras", call) from error
    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array)
    parts = {
        "metadata.json": json.dumps({"keras_version": "3.0.0", "date_saved": "1980-01-01@00:00:00"}).encode(),
        "config.json": json.dumps(config).encode(),
        "model.weights.h5": weights.getvalue(),
    }
    with replacing(path, call) as target, zipfile.ZipFile(target, "w") as archive:
        for name, data in parts.items():
            archive.writestr(zipfile.ZipInfo(name, _DATE), data)
