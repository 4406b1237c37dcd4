"""Fits the projection of token vectors: 384 to 128 dimensions, by principal components.

    python scripts/fit_projection.py [--check] [--texts 4000]

The text is the docstrings of the Python standard library (PSF licence; nothing of them can be had back from the
matrix). The components are those of the token vectors as the model gives them, neither centred nor scaled, since it
is their cosine that has to survive. Prints how much of it does, writes `src/bethink/embed/minilm-projection.npy` (float16)
and prints the checksum that `embed/onnx.py` pins. The result depends on the Python version whose library is read and,
in the last bits, on the machine's linear algebra; signs are fixed so that runs agree otherwise.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import io
import random
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bethink.embed import onnx

TARGET = Path(onnx.__file__).parent / "minilm-projection.npy"


def docstrings() -> Iterator[str]:
    """Every docstring of the standard library, paragraph by paragraph, in the order of its files."""
    root = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).parts
        if {"site-packages", "test", "tests", "idlelib", "lib2to3", "turtledemo", "ensurepip"} & set(parts):
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(path.read_text("utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and (text := ast.get_docstring(node)):
                yield from (" ".join(part.split()) for part in text.split("\n\n") if len(part.split()) >= 6)


def fit(vectors: np.ndarray, dims: int) -> np.ndarray:
    """The `dims` strongest components as columns, strongest first, each with a positive largest entry."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    values, basis = np.linalg.eigh(unit.T.astype(np.float64) @ unit)
    basis = basis[:, np.argsort(values)[::-1][:dims]]
    strongest = np.abs(basis).argmax(axis=0)
    return np.asarray(basis * np.sign(basis[strongest, np.arange(dims)]))


def kept(vectors: np.ndarray, projection: np.ndarray) -> float:
    """Correlation of cosines between token pairs before and after the projection."""

    def cosines(some: np.ndarray) -> np.ndarray:
        unit = some / np.maximum(np.linalg.norm(some, axis=1, keepdims=True), 1e-12)
        return np.asarray((unit @ unit.T)[np.triu_indices(len(unit), 1)])

    return float(np.corrcoef(cosines(vectors), cosines(vectors @ projection))[0, 1])


def main() -> None:
    """Fits, reports, writes (or only compares with what is there)."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=4000, help="how many paragraphs to read")
    parser.add_argument("--dims", type=int, default=onnx.TOKEN_DIMS)
    parser.add_argument("--check", action="store_true", help="write nothing; say how near the fit is to the file that is there")
    arguments = parser.parse_args()

    texts = list(dict.fromkeys(docstrings()))
    random.Random(0).shuffle(texts)
    embedder = onnx.OnnxEmbedder()
    states = [embedder.token_states(text) for text in texts[: arguments.texts]]
    vectors = np.concatenate(states)
    projection = fit(vectors, arguments.dims)
    sample = vectors[np.random.default_rng(0).choice(len(vectors), 2000, replace=False)]
    print(f"{len(states)} texts, {len(vectors)} tokens; cosines kept with correlation {kept(sample, projection):.4f}")
    if arguments.check:
        present = np.load(TARGET).astype(np.float64)
        overlap = np.linalg.norm(np.linalg.qr(present)[0].T @ projection) / np.sqrt(arguments.dims)
        print(f"share of the stored subspace that the fit found again: {overlap:.4f}")
        return
    buffer = io.BytesIO()
    np.save(buffer, projection.astype(np.float16))
    TARGET.write_bytes(buffer.getvalue())
    print(f"{TARGET.name}: {len(buffer.getvalue())} bytes, sha256 {hashlib.sha256(buffer.getvalue()).hexdigest()}")


if __name__ == "__main__":
    main()
