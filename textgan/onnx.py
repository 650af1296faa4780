"""Our networks as ONNX files, which onnxruntime runs without torch or textgan; the tokenizer is written beside them."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .encoders import GRUEncoder, SentenceEncoder
from .errors import UserError
from .generators import Generator, MaskGenerator
from .tokenizers import SPECIAL, Tokenizer

OPSET, IR = 18, 10  # of 2023 and 2024, so that older runtimes read the files too


class Step(nn.Module):
    """One step of a generator; its state is a row of numbers, less those of the beginning, so that it begins with zeros."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator
        first = generator._start(1)
        self.shapes = [(len(part), part.shape[2]) for part in first]
        self.size = sum(layers * width for layers, width in self.shapes)
        self.register_buffer("first", self.pack(first))

    def pack(self, state: Sequence[Tensor]) -> Tensor:
        """Rows (B, S) of a state's parts, each (layers, B, ...)."""
        return torch.cat([part.transpose(0, 1).flatten(1) for part in state], 1)

    def forward(self, token: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (B, V) of what follows, and the state (B, S), after the tokens (B,) were read in the state (B, S)."""
        first: Any = self.first
        rows = (state + first).split([layers * width for layers, width in self.shapes], 1)
        parts = tuple(row.unflatten(1, shape).transpose(0, 1) for row, shape in zip(rows, self.shapes, strict=True))
        G = self.generator
        h, new = Generator.read(G, token.unsqueeze(1), parts)  # as one step: ONNX has an LSTM of its own, but of one batch size
        return G.out(h[:, 0]) + G.ban, self.pack(new) - first


def export_step(generator: Generator, path: Path, tokenizer: Tokenizer | None, length: int) -> list[Path]:
    """Write one step of a language model, for any number of rows.

    Inputs are ``token`` (B,), int64, and ``state`` (B, S), float32; outputs ``logits`` (B, V), minus infinity at banned tokens,
    and ``next_state`` (B, S). A sentence begins with BOS and a state of zeros. The file's metadata has ``bos``, ``eos``, ``pad``
    and ``length``, the longest sentence in training.

    Args:
        generator: an RNNGenerator or RMCGenerator.
        path: the file to write.
        tokenizer: is written beside it.
        length: T.

    Returns:
        The files written.

    Raises:
        UserError: the generator fills blanks, or the packages are missing.
    """
    _need("onnx", "onnxscript")
    if generator.kind == "borrowed":
        raise UserError(
            "a language model of transformers is not written as ONNX here; export it for transformers, and use optimum"
        )
    if isinstance(generator, MaskGenerator):
        raise UserError(
            "a generator that fills blanks has no step to write as ONNX; expected one of mle, seqgan, gumbel or relgan"
        )
    step = Step(generator).eval()
    example = (torch.full((2,), generator.config.bos), torch.zeros(2, step.size))
    rows = torch.export.Dim("rows")
    with _quiet():
        program: Any = torch.onnx.export(
            step, example, input_names=["token", "state"], output_names=["logits", "next_state"], opset_version=OPSET,
            dynamic_shapes={"token": {0: rows}, "state": {0: rows}}, dynamo=True, verbose=False,
        )  # fmt: skip
    special = {name: getattr(generator.config, name) for name in ("bos", "eos", "pad")}
    model = program.model_proto
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.initializer, *model.graph.input, *model.graph.output):
        part.ClearField("metadata_props")  # which line of which file each came from
    _write(model, path, {**special, "length": length})
    return [path, *_beside(path, tokenizer, "<bos> $A")]


def export_encoder(encoder: SentenceEncoder, path: Path) -> list[Path]:
    """Write a sentence encoder.

    The input is ``ids`` (B, T), int64: sentences with EOS, then padding; the output ``vectors`` (B, D), float32.

    Args:
        encoder: all its parts must share one tokenizer, which is written beside it.
        path: the file to write.

    Returns:
        The files written.

    Raises:
        UserError: the encoders have several tokenizers or layer normalisation, or the packages are missing.
    """
    _need("onnx")
    from onnx import TensorProto, helper

    first = encoder.tokenizers[0]
    if any(t is not first for t in encoder.tokenizers):
        raise UserError("one ONNX file has one tokenizer, and these encoders have several; export each run alone")
    if any(part.config.layer_norm for part in encoder.parts):
        raise UserError("an encoder with layer normalisation cannot be written as ONNX; expected one without --layer-norm")
    graph = _Graph()
    vectors = [_encoder(graph, part, f"part{k}_") for k, part in enumerate(encoder.parts)]
    if len(vectors) > 1:
        lengths = [graph("ReduceL2", v, graph.constant(f"axis{k}", [1])) for k, v in enumerate(vectors)]
        tiny = graph.constant("tiny", np.float32(1e-12))
        vectors = [graph("Div", v, graph("Max", n, tiny)) for v, n in zip(vectors, lengths, strict=True)]
    graph("Concat", *vectors, axis=1, out="vectors")
    made = helper.make_graph(
        graph.nodes, "encoder", [helper.make_tensor_value_info("ids", TensorProto.INT64, ["rows", "tokens"])],
        [helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["rows", encoder.dimension])], graph.constants,
    )  # fmt: skip
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="textgan")
    _write(model, path, {"eos": first.eos, "pad": first.pad})
    return [path, *_beside(path, first, "$A <eos>")]


class _Graph:
    """Nodes and constants; calling it adds a node and gives the name of what comes out."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def __call__(self, kind: str, *inputs: str, out: str = "", outputs: int = 1, **options: Any) -> str:
        from onnx import helper

        name = out or f"{kind.lower()}{len(self.nodes)}"
        names = [""] * (outputs - 1) + [name]  # only the last is wanted
        self.nodes.append(helper.make_node(kind, list(inputs), names, **options))
        return name

    def constant(self, name: str, value: Any) -> str:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name


def _encoder(graph: _Graph, encoder: GRUEncoder, prefix: str) -> str:
    """The vectors (B, D) of one encoder: the last state of ONNX's GRU, which minds the lengths and reads backwards itself."""
    config, weights = encoder.config, [dict(rnn.named_parameters()) for rnn in encoder.rnns]

    def stacked(*names: str) -> np.ndarray:
        """(directions, gates): ONNX has the update gate before the reset gate."""
        found = []
        for parameters in weights:
            gates = [parameters[f"{name}_l0"].detach().chunk(3) for name in names]
            found.append(torch.cat([part for r, z, n in gates for part in (z, r, n)]))
        return torch.stack(found).numpy()

    def constant(name: str, value: Any) -> str:
        return graph.constant(prefix + name, value)

    ends = graph("Equal", "ids", constant("eos", np.int64(config.eos)))
    one = constant("one", np.int64(1))
    before = graph("CumSum", graph("Cast", ends, to=6), one, exclusive=1)  # how many EOS there were before; 6 is int32
    padding = graph("Equal", "ids", constant("pad", np.int64(config.pad)))
    real = graph("And", graph("Equal", before, constant("none", np.int32(0))), graph("Not", padding))
    lengths = graph("ReduceSum", graph("Cast", real, to=6), constant("axes", [1]), keepdims=0)
    lengths = graph("Max", lengths, constant("least", np.int32(1)))
    e = graph("Gather", constant("embedding", encoder.embedding.weight.detach().numpy()), "ids")
    e = graph("Transpose", e, perm=[1, 0, 2])
    parameters = [constant(name, value) for name, value in (
        ("w", stacked("weight_ih")), ("r", stacked("weight_hh")), ("b", stacked("bias_ih", "bias_hh"))
    )]  # fmt: skip
    size, direction = config.hidden_dim // len(weights), "bidirectional" if len(weights) > 1 else "forward"
    last = graph("GRU", e, *parameters, lengths, outputs=2, hidden_size=size, direction=direction, linear_before_reset=1)
    last = graph("Transpose", last, perm=[1, 0, 2])  # (B, directions, size)
    return graph("Reshape", last, constant("shape", np.array([-1, config.hidden_dim])))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch's exporter tells of its own ways."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def _need(*packages: str) -> None:
    if missing := [package for package in packages if find_spec(package) is None]:
        raise UserError(f"ONNX needs the package {missing[0]}; pip install 'textgan[onnx]'")


def _write(model: Any, path: Path, told: Mapping[str, Any]) -> None:
    """Write a checked model with its metadata."""
    import onnx

    from .runtime.run import write_text

    model.ir_version = IR
    onnx.helper.set_model_props(model, {name: str(value) for name, value in told.items() if value is not None})
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, model.SerializeToString())


def _beside(path: Path, tokenizer: Tokenizer | None, template: str) -> list[Path]:
    """Write the tokenizer beside a model, for the library ``tokenizers``; it adds the special tokens of the template."""
    if tokenizer is None:
        return []
    if tokenizer.kind == "unigram":
        file = path.with_suffix(".tokenizer.model")
        file.write_bytes(tokenizer.model.serialized_model_proto())
        return [file]
    from .hf.tokenizers import with_special_tokens

    file = path.with_suffix(".tokenizer.json")
    made = with_special_tokens(tokenizer, template)["tokenizer_object"]
    if template.startswith("<bos>"):
        made.add_special_tokens(list(SPECIAL[:3]))  # what is decoded has none
    else:
        made.enable_padding(pad_id=tokenizer.pad, pad_token=SPECIAL[tokenizer.pad])
    made.save(str(file))
    return [file]
