"""Weights in files of their own: uploaded with the model, one run of bytes, merged by whoever opens it."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import AttributeProto, GraphProto, TensorProto, helper, numpy_helper
from onnx.external_data_helper import convert_model_to_external_data

from backlit.external import beside
from backlit.files import ModelFile
from backlit_proto import backlit_pb2 as pb
from backlit_proto import parts
from backlit_proto.errors import BadModel
from backlit_server.engine import files as engine_files
from backlit_server.engine.files import read, verified
from outside import WEIGHTS, joined, laid, placed, told, whole

PLACES = {"w": ("weights.bin", 64), "d": ("a dense layer", 0)}


def stored(folder: Path, listed: list[pb.File], data: bytes) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(data)
    parts.listing_beside(path).write_bytes(parts.listing(listed))
    return path


def weights_of(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}


# ------------------------------------------------------- through the server


def test_a_model_of_several_files_is_explained_like_the_same_model_in_one(server, tmp_path):
    model = whole()
    one = server.upload(model.SerializeToString())
    seen: list[tuple[int, int]] = []
    several = server.upload(
        laid(tmp_path, model, placed(model, PLACES)), progress=lambda done, total: seen.append((done, total))
    )
    x = np.random.default_rng(1).normal(size=(2, 3, 16, 16)).astype(np.float32)
    for ours, theirs in zip(several.explain(x, target=[0, 3]), one.explain(x, target=[0, 3]), strict=True):
        assert np.array_equal(ours.heatmap, theirs.heatmap)
    assert several.digest != one.digest
    assert seen[-1] == (several.size, several.size)
    assert several.size == sum(path.stat().st_size for path in tmp_path.iterdir())


def test_the_same_files_twice_are_one_model_under_any_name(server, tmp_path):
    model = whole()
    file = laid(tmp_path, model, placed(model, PLACES))
    first = server.upload(file, name="external")
    again = server.upload(file.rename(tmp_path / "renamed.onnx"))
    assert again.digest == first.digest == server.model("external").digest


def test_an_export_is_one_file_where_one_can_hold_it(server, tmp_path):
    model = whole()
    uploaded = server.upload(laid(tmp_path, model, placed(model, PLACES)))
    exported = uploaded.export(tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx.data").exists()
    found = weights_of(onnx.load(exported, load_external_data=False))
    assert all(np.array_equal(found[name], value) for name, value in WEIGHTS.items())


# ------------------------------------------------------------- the client


@pytest.mark.parametrize("location", ["sub/weights.bin", "../weights.bin", "/etc/hostname", "..", "", "model.onnx"])
def test_the_client_sends_no_file_that_does_not_lie_beside_the_model(tmp_path, location):
    model = whole()
    placed(model, {"w": ("weights.bin", 0)})
    told(model.graph.initializer[0], location=location)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "weights.bin").write_bytes(WEIGHTS["w"].tobytes())
    with pytest.raises(BadModel, match="only files beside the model"):
        ModelFile.of(laid(tmp_path, model, {}))


def test_the_client_names_the_file_that_is_missing(tmp_path):
    model = whole()
    placed(model, PLACES)
    with pytest.raises(BadModel, match="'a dense layer', which is not beside it"):
        ModelFile.of(laid(tmp_path, model, {}))


def everywhere() -> onnx.ModelProto:
    """A model with weights outside in every place that a tensor can have."""

    def outside(location: str) -> TensorProto:
        tensor = TensorProto(name=location, data_type=TensorProto.FLOAT, dims=[1])
        told(tensor, location=location)
        return tensor

    def constant(location: str) -> onnx.NodeProto:
        return helper.make_node("Constant", [], [location], value=outside(location))

    def graph(name: str, location: str) -> GraphProto:
        made = helper.make_graph([constant(f"{location}-constant")], name, [], [], [outside(location)])
        made.sparse_initializer.add(values=outside(f"{location}-values"), indices=outside(f"{location}-indices"))
        return made

    branch = helper.make_node("If", ["c"], ["y"], then_branch=graph("t", "then"), else_branch=graph("e", "else"))
    many = branch.attribute.add(name="tensors", type=AttributeProto.TENSORS)
    many.tensors.append(outside("list"))
    top = graph("top", "top")
    top.node.append(branch)
    function = helper.make_function("own", "f", [], ["y"], [constant("function")], [helper.make_opsetid("", 21)])
    return helper.make_model(top, functions=[function])


def test_the_client_finds_weights_wherever_onnx_lets_them_lie(tmp_path):
    model = everywhere()
    names = ["top", "then", "else"]
    names = [f"{n}{kind}" for n in names for kind in ("", "-constant", "-values", "-indices")] + ["list", "function"]
    found = beside(laid(tmp_path, model, dict.fromkeys(names, b"1234")))
    assert [path.name for path in found] == sorted(names)


@pytest.mark.parametrize("data", [b"no model, location", b"location" * 99, b"\x3a\xff\xff\xff\xff\x0flocation", b""])
def test_the_client_leaves_what_is_no_model_to_the_server(tmp_path, data):
    file = tmp_path / "model.onnx"
    file.write_bytes(data)
    assert ModelFile.of(file).files == []


# ------------------------------------------------------ reading what is stored


def test_weights_are_found_at_their_offsets_in_the_run_of_all_files(tmp_path):
    model = whole()
    listed, data = joined(model, placed(model, PLACES))
    file = verified(stored(tmp_path, listed, data), parts.digest_of(listed))
    assert file.folder is None
    assert all(np.array_equal(weights_of(file.model)[name], value) for name, value in WEIGHTS.items())


def test_what_onnx_itself_splits_is_put_together_again(tmp_path):
    model = whole()
    constant = numpy_helper.from_array(np.arange(8, dtype=np.float32).reshape(1, 8, 1, 1))
    model.graph.node.insert(0, helper.make_node("Constant", [], ["c"], value=constant))
    convert_model_to_external_data(model, location="all.bin", size_threshold=0, convert_attribute=True)
    onnx.save(model, tmp_path / "net.onnx")
    upload = ModelFile.of(tmp_path / "net.onnx")
    data = b"".join(upload.chunks(0))
    found = read(stored(tmp_path, upload.files, data)).model
    assert all(np.array_equal(weights_of(found)[name], value) for name, value in WEIGHTS.items())
    assert np.array_equal(numpy_helper.to_array(found.graph.node[0].attribute[0].t).ravel(), np.arange(8))


def test_only_the_largest_weights_stay_outside_a_model_that_is_too_large(tmp_path, monkeypatch):
    model = whole()
    listed, data = joined(model, placed(model, PLACES))
    monkeypatch.setattr(engine_files, "FIT", model.ByteSize() + WEIGHTS["d"].nbytes)
    file = read(stored(tmp_path, listed, data))
    assert file.folder == tmp_path
    outside = {t.name: {e.key: e.value for e in t.external_data} for t in file.model.graph.initializer}
    at = data.index(WEIGHTS["w"].tobytes())
    assert outside == {"w": {"location": "model.onnx", "offset": str(at), "length": str(WEIGHTS["w"].nbytes)}, "d": {}}


W: dict[str, object] = {"location": "weights.bin", "offset": 0, "length": WEIGHTS["w"].nbytes}
# What a weight says of where it lies, the files that come, and the refusal.
UNFIT: dict[str, tuple[dict[str, object], dict[str, bytes], str]] = {
    "a file that was not sent": (W, {}, "'weights.bin', which was not sent"),
    "a file that nothing reads": (W, {"weights.bin": bytes(864), "b": b"1"}, "no weight of the model lies in 'b'"),
    "a file that is too short": (W, {"weights.bin": bytes(863)}, "bytes 0 to 864 of 'weights.bin', which has 863"),
    "an offset behind the end": (W | {"offset": 1}, {"weights.bin": bytes(864)}, "bytes 1 to 865"),
    "an offset before the start": (W | {"offset": -1}, {"weights.bin": bytes(864)}, "bytes -1 to 863"),
    "an offset in words": (W | {"offset": "first"}, {"weights.bin": bytes(864)}, "does not say in numbers"),
    "another length": (W | {"length": 4}, {"weights.bin": bytes(864)}, "864 bytes by its shape and type, and 4"),
    "a folder": (W | {"location": "a/b"}, {"weights.bin": bytes(864)}, "'w' lies in 'a/b': .* without folders"),
    "a way out": (W | {"location": "../weights.bin"}, {}, "without folders"),
    "an absolute path": (W | {"location": "/etc/passwd"}, {}, "without folders"),
    "no place": ({}, {"weights.bin": bytes(864)}, "'w' lies in '': .* without folders"),
}


@pytest.mark.parametrize("case", UNFIT)
def test_files_that_do_not_fit_their_model_are_refused_by_name(tmp_path, case):
    entries, files, says = UNFIT[case]
    model = whole()
    told(model.graph.initializer[0], **entries)
    listed, data = joined(model, files)
    with pytest.raises(BadModel, match=says):
        read(stored(tmp_path, listed, data))


def test_a_model_sent_alone_is_told_which_file_it_lacks(server):
    model = whole()
    placed(model, PLACES)
    with pytest.raises(BadModel, match=r"the weight 'w' lies in 'weights\.bin', which was not sent"):
        server.upload(model.SerializeToString())
