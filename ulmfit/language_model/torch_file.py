"""What is looked at in a file of `torch.save` before torch reads it: nothing is run, nothing is believed.

torch's own restricted reader imports no code, but a file may still ask it for any amount of memory. Here the
instructions of its pickles are read one by one: which there are, what they name, how large their numbers are.
"""

from __future__ import annotations

import pickle
import pickletools
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from ulmfit.pipeline.errors import InputError
from ulmfit.pipeline.files import check_ends

IN_OPTIMIZER_STATES = (
    "fastcore.foundation.L",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
)
"""What fastai v2's `learn.save` writes beside the weights; each is read as an `_Ignored`."""
STORAGES = ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
NAMED_IN_PICKLES = frozenset(
    {
        "collections OrderedDict",
        "torch._utils _rebuild_tensor_v2",
        "torch._utils _rebuild_parameter",
        "_codecs encode",
        *(f"torch {kind}Storage" for kind in STORAGES),
        *(" ".join(name.rsplit(".", 1)) for name in IN_OPTIMIZER_STATES),
    }
)
"""What a file may name. torch's own list is longer: with `bytearray` a few bytes ask for any memory."""
LEGACY_PICKLES = ("header", "header", "header", "object", "header")
"""A legacy file begins with five pickles: a magic number, a version, the machine, the object, and the names
of its storages; their numbers follow."""
MOST_STEPS, MOST_HEADER_STEPS = 500_000, 50_000
"""Instructions of a pickle; a tensor with its optimizer's state takes some two hundred."""
MOST_TUPLES = 30_000
"""They may lie inside each other, and Python follows that on the processor's stack."""
LONGEST_STRING = 1_000
"""Characters or bytes; the longest name of a weight has fewer than a hundred."""
LARGEST_SUM, SMALL = 16, 100_000
"""Times the bytes of a file that its whole numbers may add up to (names of the same weights repeat them); a
file is taken to have SMALL bytes at least, for counts of steps."""
MOST_ENTRIES = 10_000
"""Files in an archive; there is one a tensor."""

INTEGERS = frozenset({"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"})
STRINGS = frozenset({"UNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINUNICODE", "STRING", "BINSTRING"})
STRINGS |= {"SHORT_BINSTRING", "BINBYTES", "BINBYTES8", "SHORT_BINBYTES", "BYTEARRAY8"}
KEEPING = frozenset({"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"})
TUPLES = frozenset({"TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"})
NAMING = frozenset({"GLOBAL", "INST", "STACK_GLOBAL", "EXT1", "EXT2", "EXT4"})
IN_HEADERS = KEEPING | TUPLES | {"BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE", "SHORT_BINUNICODE"}
IN_HEADERS |= {"PROTO", "FRAME", "MARK", "STOP", "EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE", "NEWTRUE"}
IN_HEADERS |= {"NEWFALSE", "NONE", "SETITEM", "SETITEMS", "APPEND", "APPENDS", "BINGET", "LONG_BINGET"}
"""What numbers, strings, and lists and dictionaries of them are made of: nothing that is called."""


def check_torch_file(path: Path) -> bool:
    """Raise InputError for a file that is not torch.save's, or asks for more than it holds.

    Returns whether it is an archive (torch's zip format) or in the legacy format.
    """
    try:
        check_ends(path)
    except OSError as error:
        raise unreadable(path, error) from error
    if zipfile.is_zipfile(path):
        _check_archive(path)
        return True
    size = path.stat().st_size
    try:
        if tarfile.is_tarfile(path):
            raise InputError(f"weights {path} are a tar archive, as torch wrote before 2017: save them anew")
        with path.open("rb") as stream:
            for kind in LEGACY_PICKLES:
                _check_pickle(stream, kind == "object", path, size)
    except (OSError, EOFError) as error:
        raise unreadable(path, error) from error
    return False


def more_than_tensors(path: Path, what: str) -> InputError:
    """Return the error for a file that names a class or function."""
    return InputError(
        f"weights {path} hold more than tensors ({what}), and nothing in them was run: "
        f"save the model's state alone, with learn.save(..., with_opt=False)"
    )


def unreadable(path: Path, error: Exception) -> InputError:
    """Return the error for a file that is damaged or of another kind."""
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return InputError(f"weights {path} cannot be read: damaged, or not from torch.save ({reason[:200]})")


def _check_archive(path: Path) -> None:
    """What is compressed could be of any size, and of two files of one name another reader takes another."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            names = {entry.filename.casefold() for entry in entries}
            if len(entries) > MOST_ENTRIES or len(names) < len(entries):
                raise InputError(
                    f"weights {path} are an archive of {len(entries):,} files with {len(names):,} names: "
                    f"expected torch.save's, of at most {MOST_ENTRIES:,} with a name each"
                )
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise InputError(
                    f"weights {path} are a compressed archive: unpack it, and name the .pth file in it"
                )
            for entry in entries:
                if entry.filename.endswith(".pkl"):
                    with archive.open(entry) as stream:
                        _check_pickle(stream, True, path, path.stat().st_size)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        raise InputError(f"weights {path} cannot be read: a damaged archive ({error})") from error


def _check_pickle(stream: IO[bytes], is_object: bool, path: Path, size: int) -> None:
    """Read one pickle of a file of `size` bytes, without running it; raises InputError.

    Only an object may name anything. Its whole numbers are sizes and places of what the file holds: none is
    larger than the file, nor are all of them together many times that. None is kept to be used again, which
    no pickler does.
    """
    steps = tuples = total = 0
    before = ""
    for name, argument in _instructions(stream, path):
        steps, tuples = steps + 1, tuples + (name in TUPLES)
        if name in NAMING and not (is_object and argument in NAMED_IN_PICKLES):
            raise more_than_tensors(path, str(argument).replace(" ", ".") if argument else "a class")
        if not is_object and name not in IN_HEADERS:
            raise InputError(f"weights {path}: {name} stands where numbers and names are expected")
        if steps > (MOST_STEPS if is_object else MOST_HEADER_STEPS) or tuples > MOST_TUPLES:
            raise InputError(f"weights {path} are described by more instructions than any model needs")
        if name in STRINGS and len(argument) > LONGEST_STRING:
            raise InputError(
                f"weights {path} hold a text of {len(argument):,} characters: no name is as long"
            )
        if is_object and name in INTEGERS:
            total += abs(argument)
            if max(abs(argument), total / LARGEST_SUM) > max(size, SMALL):
                raise InputError(f"weights {path} claim sizes of {total:,} in {size:,} bytes")
        if is_object and name in KEEPING and before in INTEGERS:
            raise InputError(f"weights {path} keep a number to use it again, which torch.save does not")
        before = name


def _instructions(stream: IO[bytes], path: Path) -> Iterator[tuple[str, Any]]:
    """Yield names and arguments of a pickle's instructions; InputError where it is damaged."""
    try:
        for instruction, argument, _ in pickletools.genops(stream):
            yield instruction.name, argument
    except (ValueError, EOFError, UnicodeError, pickle.UnpicklingError) as error:
        raise unreadable(path, error) from error
