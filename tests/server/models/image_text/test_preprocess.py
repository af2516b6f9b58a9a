from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import open_clip
import pytest
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image, ImageDraw

from sightline.server.models.image_text.preprocess import Preprocess, upright_rgb
from sightline.storage.errors import ConfigurationError

SIZES = [(640, 480), (481, 641), (97, 1201), (1200, 50), (64, 64), (30, 17), (224, 224), (3, 190)]


def _image(size: tuple[int, int], seed: int = 0) -> Image.Image:
    """Return noise with edges, which shows resampling errors of one pixel."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    ImageDraw.Draw(image).rectangle((0, 0, size[0] // 2, size[1] // 3), fill=(250, 20, 60))
    return image


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("target", [224, (224, 224), (160, 160), (192, 256), (256, 128)])
@pytest.mark.parametrize("resize_mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_pixels_equal_those_of_open_clip(
    size: tuple[int, int], target: int | tuple[int, int], resize_mode: str, interpolation: str
) -> None:
    config = PreprocessCfg(
        size=target, resize_mode=resize_mode, interpolation=interpolation, fill_color=37
    )
    image = _image(size)
    theirs = image_transform_v2(config, is_train=False).transforms[:-2]
    expected = image
    for step in theirs:
        expected = step(expected)
    ours = Preprocess.from_open_clip(vars(config))(image)
    np.testing.assert_array_equal(ours, np.asarray(expected))


def test_the_preprocessing_of_every_open_clip_model_is_supported() -> None:
    for architecture, tag in open_clip.list_pretrained():
        Preprocess.from_open_clip(
            open_clip.get_pretrained_cfg(architecture, tag) | {"size": (224, 224)}
        )


def test_exif_rotation_is_applied() -> None:
    image = _image((60, 40))
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by 90 degrees
    image.getexif().update(exif)
    assert upright_rgb(image).size == (40, 60)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_transparent_pixels_become_white(mode: str) -> None:
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 0)).convert(mode)
    assert upright_rgb(image).getpixel((4, 4)) == (255, 255, 255)


def test_a_transparent_palette_color_becomes_white() -> None:
    image = Image.new("P", (8, 8), 0)
    image.putpalette([10, 20, 30] * 256)
    image.info["transparency"] = 0
    assert upright_rgb(image).getpixel((4, 4)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("pixels", "gray"),
    [
        (np.full((4, 4), 65535, np.uint16), 255),
        (np.full((4, 4), 32896, np.uint16), 128),
        (np.full((4, 4), 200, np.uint16), 200),
        (np.full((4, 4), 70000, np.int32), 255),
        (np.full((4, 4), 99.0, np.float32), 99),
    ],
)
def test_16_and_32_bit_gray_images_keep_their_brightness(pixels: np.ndarray, gray: int) -> None:
    assert upright_rgb(Image.fromarray(pixels)).getpixel((1, 1)) == (gray, gray, gray)


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "HSV", "RGBX", "LAB"])
def test_every_color_mode_becomes_rgb_of_the_models_size(mode: str) -> None:
    pixels = Preprocess(height=32, width=48)(Image.new(mode, (70, 50)))
    assert pixels.shape == (32, 48, 3)
    assert pixels.dtype == np.uint8


@pytest.mark.parametrize("size", [(1, 200_000), (200_000, 1), (1, 1)])
@pytest.mark.parametrize("resize_mode", ["shortest", "longest", "squash"])
def test_extreme_aspect_ratios_do_not_exhaust_memory(
    size: tuple[int, int], resize_mode: str
) -> None:
    preprocess = Preprocess.from_open_clip({"size": 64, "resize_mode": resize_mode})
    assert preprocess(Image.new("RGB", size, (9, 9, 9))).shape == (64, 64, 3)


def test_the_fingerprint_changes_with_every_parameter() -> None:
    base = Preprocess(height=64, width=64)
    others = [
        Preprocess(height=64, width=65),
        Preprocess(height=64, width=64, resize="squash"),
        Preprocess(height=64, width=64, interpolation="bilinear"),
        Preprocess(height=64, width=64, mean=(0.5, 0.5, 0.5)),
        Preprocess(height=64, width=64, std=(0.5, 0.5, 0.5)),
        Preprocess(height=64, width=64, fill=1),
    ]
    fingerprints = {preprocess.fingerprint for preprocess in [base, *others]}
    assert len(fingerprints) == 1 + len(others)
    assert base.fingerprint == Preprocess(height=64, width=64).fingerprint


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"resize_mode": "stretch"}, "'stretch'.*'longest', 'shortest', 'squash'"),
        ({"interpolation": "lanczos"}, "'lanczos'.*'bicubic', 'bilinear'"),
        ({"size": (1, 2, 3)}, "one or two positive"),
        ({"size": 0}, "one or two positive"),
        ({"mean": (0.1, 0.2)}, "one or three"),
    ],
)
def test_an_unsupported_configuration_is_rejected(config: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Preprocess.from_open_clip(config)


def test_it_runs_in_a_process_that_never_imports_torch() -> None:
    pickled = pickle.dumps(Preprocess(height=32, width=32)).hex()
    program = (
        "import pickle, sys; from PIL import Image;"
        f"p = pickle.loads(bytes.fromhex('{pickled}'));"
        "assert p(Image.new('RGB', (50, 40))).shape == (32, 32, 3);"
        "assert not {'torch', 'torchvision', 'open_clip'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
