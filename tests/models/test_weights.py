from __future__ import annotations

import pickle
import re
import urllib.error
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from hts_classify.errors import ModelError
from hts_classify.models.cnn.networks import make_network
from hts_classify.models.cnn.weights import read_weights
from hts_classify.models.settings import CnnSettings

HEADS = {"resnet50": "fc", "mobilenet_v2": "classifier.1"}


def made(name, weights="", channels=3, classes=4, said=None):
    settings = CnnSettings(network=name, weights=str(weights))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        say = pytest.fail if said is None else said.append
        return make_network(settings, channels=channels, classes=classes, say=say).eval()


def foreign(name="mobilenet_v2", **options):
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return torchvision.models.get_model(name, weights=None, **options).eval()


def grey(channels, side=64):
    plane = torch.randn(2, 1, side, side, generator=torch.Generator().manual_seed(3))
    return plane.expand(-1, channels, -1, -1)


@pytest.fixture
def state(tmp_path):
    """A state dict of torchvision, and where to write variants of it."""
    return foreign().state_dict(), tmp_path / "net.pth"


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_imagenet_mobilenet_sees_grey_as_before_in_any_number_of_channels(shared_data, channels):
    said, file = [], shared_data / "weights" / "mobilenet_v2.pth"
    net = made("mobilenet_v2", file, channels, said=said)
    plain = foreign()
    plain.load_state_dict(torch.load(file, weights_only=True))
    with torch.inference_mode():
        expected = plain.features(grey(3)).mean((2, 3))
        found = net.body(grey(channels))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    assert expected.std() > 0.01
    assert re.search("head does not fit 4 classes and is left out", said[0])
    assert len(said) == (1 if channels == 3 else 2)
    assert not net(grey(channels)).any()


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_imagenet_squeezenet_has_no_head_and_that_is_said(shared_data, channels):
    said, file = [], shared_data / "weights" / "squeezenet1_1_features.pth"
    net = made("squeezenet1_1", file, channels, said=said)
    plain = foreign("squeezenet1_1")
    plain.load_state_dict(torch.load(file, weights_only=True), strict=False)
    with torch.inference_mode():
        expected, found = plain.features(grey(3)).mean((2, 3)), net.body(grey(channels))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    assert said[0] == f"weights {file}: they have no head; it starts anew"


def test_three_channels_keep_the_filters_of_each_colour(state):
    weights, path = state
    torch.save(weights, path)
    net = made("mobilenet_v2", path, said=[])
    assert torch.equal(net.body.features[0][0].weight, weights["features.0.0.weight"])


@pytest.mark.parametrize("name", HEADS)
def test_a_head_that_fits_is_kept_and_gives_what_torchvision_gives(tmp_path, name):
    plain, said = foreign(name, num_classes=4), []
    torch.save(plain.state_dict(), tmp_path / "net.pth")
    net = made(name, tmp_path / "net.pth", said=said)
    with torch.inference_mode():
        torch.testing.assert_close(net(grey(3)), plain(grey(3)))
    assert said[0].endswith("their head of 4 classes is kept")


@pytest.mark.parametrize("name", ["inception_v3", "densenet121", "efficientnet_b0"])
def test_features_are_those_of_torchvision(tmp_path, name):
    aux = {"aux_logits": True, "init_weights": False} if name == "inception_v3" else {}
    plain, said = foreign(name, num_classes=4, **aux), []
    torch.save(plain.state_dict(), tmp_path / "net.pth")
    net = made(name, tmp_path / "net.pth", said=said)
    with torch.inference_mode():
        torch.testing.assert_close(net(grey(3, 80)), plain(grey(3, 80)))
    assert ("auxiliary head is left out" in said[-1]) == (name == "inception_v3")


def test_convnext_keeps_the_norm_that_torchvision_counts_to_its_head(tmp_path):
    plain = foreign("convnext_tiny", num_classes=4)
    nn.init.normal_(plain.classifier[0].weight)
    torch.save(plain.state_dict(), tmp_path / "net.pth")
    net = made("convnext_tiny", tmp_path / "net.pth", said=[])
    with torch.inference_mode():
        torch.testing.assert_close(net(grey(3)), plain(grey(3)))


def test_weights_of_timm_fit_its_network(tmp_path):
    timm = pytest.importorskip("timm")
    plain = timm.create_model("inception_resnet_v2", num_classes=4).eval()
    torch.save(plain.state_dict(), tmp_path / "net.pth")
    net = made("inception_resnet_v2", tmp_path / "net.pth", said=[])
    with torch.inference_mode():
        torch.testing.assert_close(net(grey(3, 80)), plain(grey(3, 80)))


def test_densenet_files_of_old_have_a_dot_more(tmp_path):
    plain = foreign("densenet121", num_classes=4)
    old = {
        re.sub(r"(layer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", key): value
        for key, value in plain.state_dict().items()
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    torch.save(old, tmp_path / "old.pth")
    net = made("densenet121", tmp_path / "old.pth", said=[])
    with torch.inference_mode():
        torch.testing.assert_close(net(grey(3)), plain(grey(3)))


@pytest.mark.parametrize("name", ["compact", "jackal", "mobilenet_v2"])
def test_a_model_of_ours_is_weights_for_the_next(tmp_path, name):
    first, said = made(name, channels=5, classes=4), []
    nn.init.ones_(first.head.weight)
    save_file(first.state_dict(), tmp_path / "cnn.safetensors")
    same = made(name, tmp_path / "cnn.safetensors", channels=5, classes=4, said=said)
    with torch.inference_mode():
        torch.testing.assert_close(same(grey(5)), first(grey(5)))
    other = made(name, tmp_path / "cnn.safetensors", channels=5, classes=2, said=said)
    with torch.inference_mode():
        torch.testing.assert_close(other.body(grey(5)), first.body(grey(5)))
    assert "head of 4 classes is kept" in said[0]
    assert "does not fit 2 classes" in said[1]


@pytest.mark.parametrize("theirs", [3, 5])
def test_a_model_of_ours_fits_its_own_number_of_channels_only(tmp_path, theirs):
    save_file(made("mobilenet_v2", channels=theirs).state_dict(), tmp_path / "cnn.safetensors")
    match = f"cnn.safetensors: these weights are for {theirs} channels, and the tiles have 2"
    with pytest.raises(ModelError, match=match):
        made("mobilenet_v2", tmp_path / "cnn.safetensors", channels=2)


@pytest.mark.parametrize(
    "kind", ["safetensors", "legacy", "state_dict", "model", "module.", "half"]
)
def test_every_way_that_weights_are_kept_gives_the_same(state, kind):
    weights, path = state
    expected = made("mobilenet_v2", _written(weights, path), said=[])
    if kind == "safetensors":  # whatever the file is called
        save_file(weights, path)
    elif kind == "legacy":
        torch.save(weights, path, _use_new_zipfile_serialization=False)
    elif kind == "module.":
        torch.save({f"module.{key}": value for key, value in weights.items()}, path)
    elif kind == "half":
        save_file({k: v.bfloat16() if v.ndim else v for k, v in weights.items()}, path)
    else:
        torch.save({"epoch": 3, kind: weights, "optimizer": {"lr": 0.1}}, path)
    found = made("mobilenet_v2", path, said=[])
    wanted = expected.state_dict()
    loose = {"rtol": 0.01, "atol": 0.01} if kind == "half" else {"rtol": 0, "atol": 0}
    for key, value in found.state_dict().items():
        torch.testing.assert_close(value, wanted[key], **loose)


def test_counters_of_batch_norm_may_be_absent(state):
    weights, path = state
    _written({k: v for k, v in weights.items() if not k.endswith("num_batches_tracked")}, path)
    made("mobilenet_v2", path, said=[])


def test_one_error_lists_every_key_that_does_not_fit(state):
    weights, path = state
    del weights["features.1.conv.0.0.weight"]
    weights["features.99.weight"] = torch.ones(3)
    weights["features.18.1.bias"] = torch.ones(7)
    weights["features.18.1.weight"][5] = torch.nan
    with pytest.raises(ModelError) as caught:
        made("mobilenet_v2", _written(weights, path))
    message = str(caught.value)
    assert message.startswith(f"{path}: these weights do not fit the network: ")
    for part in (
        "features.1.conv.0.0.weight is absent",
        "features.99.weight is not known",
        "features.18.1.bias is (7,) and not (1280,)",
        "features.18.1.weight holds values that are no finite numbers",
    ):
        assert part in message


def test_weights_of_another_network_list_ten_keys_and_how_many_more(state):
    weights, path = state
    with pytest.raises(
        ModelError, match=r"stem.0.weight is absent.*, and \d+ more; name"
    ) as caught:
        made("compact", _written(weights, path))
    assert str(caught.value).count(" is absent") == 10


def _written(content, path):
    torch.save(content, path)
    return path


class Attack:
    """What runs code when a pickle is loaded without care."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_file_is_not_run(tmp_path, zipped):
    path, trace = tmp_path / "net.pth", tmp_path / "run"
    torch.save({"a": Attack(trace)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ModelError, match=r"net.pth: .*code in a file is never run.*; fetch"):
        read_weights(path)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        path.write_bytes(pickle.dumps(Attack(trace), protocol))
        with pytest.raises(ModelError, match=r"code in a file is never run|is neither"):
            read_weights(path)
    assert not trace.exists()


def test_a_whole_network_instead_of_its_weights_is_refused(tmp_path):
    torch.save(nn.Linear(2, 2), tmp_path / "net.pt")
    with pytest.raises(ModelError, match=r"more than tensors.*save its state_dict"):
        read_weights(tmp_path / "net.pt")


@pytest.mark.parametrize(
    "content",
    [
        {},
        [],
        3,
        torch.ones(2),
        {"state_dict": {}},
        {"a": 1.0},
        {"a": [torch.ones(1)]},
        {1: torch.ones(1)},
    ],
    ids=repr,
)
def test_what_holds_no_tensors_by_name_is_refused(tmp_path, content):
    path = _written(content, tmp_path / "net.pth")
    with pytest.raises(ModelError, match=r"net.pth: holds no tensor"):
        read_weights(path)


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.999])
def test_a_file_cut_short_is_named(tmp_path, kind, share):
    path, weights = tmp_path / "net.pth", {"a": torch.ones(300, 10), "b": torch.zeros(9)}
    if kind == "safetensors":
        save_file(weights, path)
    else:
        torch.save(weights, path, _use_new_zipfile_serialization=kind == "zip")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ModelError, match=r"net.pth: is .*; fetch the file anew"):
        read_weights(path)


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_damage_gives_weights_or_the_one_error(tmp_path, kind):
    path, weights = tmp_path / "net.pth", {"a": torch.ones(30)}
    if kind == "safetensors":
        save_file(weights, path)
    else:
        torch.save(weights, path, _use_new_zipfile_serialization=kind == "zip")
    content = path.read_bytes()
    generator = torch.Generator().manual_seed(0)
    refused = 0
    for place in torch.randint(len(content), (200,), generator=generator).tolist():
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :])
        try:
            read_weights(path)
        except ModelError:
            refused += 1
    assert refused > 10


@pytest.mark.parametrize("content", [b"", b"not weights", b"<html>404: Not Found</html>"])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "net.pth").write_bytes(content)
    with pytest.raises(ModelError, match=r"neither safetensors nor from torch\.save"):
        read_weights(tmp_path / "net.pth")


def test_a_file_that_is_absent_or_a_folder_is_named(tmp_path):
    for path in (tmp_path / "absent.pth", tmp_path):
        with pytest.raises(ModelError, match=f"^{re.escape(str(path))}: cannot be read"):
            made("resnet50", path)


@pytest.mark.parametrize("kind", ["meta", "sparse", "int32", "complex64"])
@pytest.mark.parametrize("channels", [3, 2])
def test_a_first_layer_of_another_kind_is_named(state, kind, channels):
    weights, path = state
    convert = {
        "meta": lambda first: first.to("meta"),
        "sparse": lambda first: first.to_sparse(),
        "int32": lambda first: first.to(torch.int32),
        "complex64": lambda first: first.to(torch.complex64),
    }[kind]
    weights["features.0.0.weight"] = convert(weights["features.0.0.weight"])
    with pytest.raises(ModelError, match=r"features\.0\.0\.weight (is|holds)|is damaged"):
        made("mobilenet_v2", _written(weights, path), channels)


def test_imagenet_weights_come_from_torchvisions_address(monkeypatch):
    asked, said = {}, []

    def fetch(url, **options):
        asked.update(options, url=url)
        return foreign().state_dict()

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fetch)
    net = made("mobilenet_v2", "imagenet", channels=2, said=said)
    assert asked["url"].startswith("https://download.pytorch.org/models/mobilenet_v2")
    assert asked["weights_only"]
    assert asked["check_hash"]
    assert net.body.features[0][0].weight.shape[1] == 2
    assert said[0].startswith("weights imagenet: ")


def test_imagenet_weights_without_a_network_say_what_to_do(monkeypatch):
    def fetch(url, **options):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fetch)
    match = r"ImageNet weights of resnet50 cannot be fetched \(.*no route.*--weights"
    with pytest.raises(ModelError, match=match):
        made("resnet50", "imagenet")


def test_timms_weights_without_a_network_say_what_to_do(monkeypatch):
    timm = pytest.importorskip("timm")
    create = timm.create_model

    def offline(name, *, pretrained):
        if pretrained:
            raise RuntimeError("no route to host")
        return create(name)

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(ModelError, match=r"inception_resnet_v2 cannot be fetched \(no route"):
        made("inception_resnet_v2", "imagenet")


def test_bytes_that_changed_in_an_archive_are_seen(tmp_path: Path) -> None:
    """PyTorch reads over them; the archive's own checksums show them."""
    path = tmp_path / "net.pth"
    torch.save({"fc.weight": torch.arange(5000.0)}, path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ModelError, match="does not match its checksum"):
        read_weights(path)
