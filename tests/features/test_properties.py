"""What holds for every image, and is looked for on images that nobody would think of."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hts_classify.features as features
from hts_classify.features import _tas, measure, measure_objects, pftas, reference, tas

KERNELS = features.kernels()
AXES = {2: "yx", 3: "zyx"}
INTEGERS = [np.uint8, np.uint16]
FLOATS = [np.float32, np.float64]
LABELS = np.array([0, 1, 2, 7, 300, 70_000, 4_000_000_000])

check = settings(deadline=None, derandomize=True, max_examples=200)

widths = st.sampled_from([1, 2, 3, 5, 8, *range(62, 67), *range(127, 130), 191, 192, 193, 257])
planes = st.tuples(st.integers(1, 9), widths) | st.tuples(widths, st.integers(1, 4))
volumes = st.tuples(st.integers(1, 4), st.integers(1, 5), widths)
seeds = st.integers(0, 2**32 - 1)
kernels = st.sampled_from(KERNELS)
borders = st.sampled_from(["constant", "reflect"])


def patchwork(rng, values, shape, grain):
    """Patches of `grain` pixels of a few values, some of them rare, so that every number of
    neighbours occurs."""
    coarse = tuple(-(-length // grain) for length in shape)
    found = rng.choice(values, coarse, p=rng.dirichlet(np.full(len(values), 0.4)))
    for axis in range(len(shape)):
        found = found.repeat(grain, axis)
    return np.ascontiguousarray(found[tuple(map(slice, shape))])


def levels_around(bounds, dtype):
    """Pixels on the bounds, one step beside them, and the type's ends."""
    if np.issubdtype(dtype, np.integer):
        ends = np.iinfo(dtype)
        whole = np.concatenate([np.floor(bounds) - 1, np.rint(bounds), np.ceil(bounds) + 1])
        return np.array([*whole.clip(0, ends.max), 0, ends.max], dtype)
    on = np.array(bounds, dtype)
    beside = [np.nextafter(on, dtype(to)) for to in (-np.inf, np.inf)]
    return np.concatenate([on, *beside, np.array([-3.5, 0, 5e-39, 1e30], dtype)])


@st.composite
def bounded_images(draw, shapes=planes | volumes, dtypes=tuple(INTEGERS + FLOATS)):
    """An image with a mean and a margin, on whose bounds many of its pixels lie."""
    dtype = draw(st.sampled_from(dtypes))
    top = {np.uint8: 255.0, np.uint16: 65535.0}.get(dtype, 1.0)
    mu = top * draw(st.sampled_from([0.0, 0.1, 0.4, 0.5, 0.999, 1.0]))
    margin = top * draw(st.sampled_from([0.0, 1e-3, 0.1, 0.5, 1.2]))
    if draw(st.booleans()):
        mu, margin = np.rint(mu), np.rint(margin)
    rng = np.random.default_rng(draw(seeds))
    values = levels_around(np.array([mu - margin, mu, mu + margin]), dtype)
    image = patchwork(rng, values, draw(shapes), draw(st.integers(1, 4)))
    return image, float(mu), float(margin)


@st.composite
def regions(draw, shape):
    """A mask or a label image: patches, lines, speckles."""
    rng = np.random.default_rng(draw(seeds))
    found = patchwork(rng, LABELS, shape, draw(st.integers(1, 9)))
    found.flat[rng.integers(found.size)] = rng.choice(LABELS[1:])  # at least one object
    return found


LAYOUTS = {
    "C": lambda x: x,
    "every second pixel": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "every third row": lambda x: np.repeat(x, 3, axis=-2)[..., ::3, :],
    "backwards": lambda x: np.flip(np.flip(x).copy()),
    "columns backwards": lambda x: x[..., ::-1].copy()[..., ::-1],
    "transposed": lambda x: x.T,
    "Fortran": np.asfortranarray,
    "odd crop": lambda x: np.pad(x, 3)[(slice(3, -3),) * x.ndim],
    "broadcast rows": lambda x: np.broadcast_to(x[..., :1, :], x.shape),
    "broadcast columns": lambda x: np.broadcast_to(x[..., :1], x.shape),
    "read-only": lambda x: np.frombuffer(x.tobytes(), x.dtype).reshape(x.shape),
}
layouts = st.sampled_from(list(LAYOUTS))


def counted(image, mu, margin, *, reflect, kernel, inside=None):
    out = np.full((1, 3, 2, 3**image.ndim), 7, dtype=np.uint64)
    objects = None if inside is None else _tas.find_objects(inside, mask=True)
    is_volume = image.ndim == 3
    how = {"mu": mu, "margin": margin, "is_volume": is_volume, "reflect": reflect}
    _tas.count(image, objects, out, **how, kernel=kernel)
    return out[0]


def right_parameters(function, image):
    """Floats have no thresholds but those given."""
    return {"threshold": 0.3, "margin": 0.25} if image.dtype.kind == "f" else {}


# ---- every kernel equals the reference -----------------------------------------------------


@pytest.mark.parametrize("kernel", KERNELS)
@check
@given(scene=bounded_images(), layout=layouts, reflect=st.booleans())
def test_every_image_is_counted_as_the_reference_counts(scene, layout, reflect, kernel):
    image, mu, margin = scene
    view = LAYOUTS[layout](image)
    found = counted(view, mu, margin, reflect=reflect, kernel=kernel)
    expected = reference.counts(view, mu=mu, margin=margin, reflect=reflect)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kernel", KERNELS)
@check
@given(scene=bounded_images(), layout=layouts, reflect=st.booleans(), data=st.data())
def test_every_mask_is_counted_as_the_reference_counts(scene, layout, reflect, data, kernel):
    image, mu, margin = scene
    view = LAYOUTS[layout](image)
    inside = LAYOUTS[data.draw(layouts)](data.draw(regions(view.shape)) > 0)
    if inside.shape != view.shape or not inside.any():
        inside = np.ones(view.shape, dtype=bool)
    found = counted(view, mu, margin, reflect=reflect, kernel=kernel, inside=inside)
    expected = reference.counts(view, mu=mu, margin=margin, reflect=reflect, inside=inside)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kernel", KERNELS)
@check
@given(scene=bounded_images(), layout=layouts, reflect=st.booleans(), data=st.data())
def test_every_object_is_counted_as_the_reference_counts(scene, layout, reflect, data, kernel):
    image, mu, margin = scene
    view = LAYOUTS[layout](image)
    labels = data.draw(regions(view.shape))
    objects = _tas.find_objects(labels)
    assert objects.labels() == np.unique(labels[labels > 0]).tolist()
    out = np.full((len(objects), 3, 2, 3**view.ndim), 7, dtype=np.uint64)
    how = {"is_volume": view.ndim == 3, "reflect": reflect, "kernel": kernel}
    _tas.count(view, objects, out, mu=mu, margin=margin, **how)
    for label, pixels, found in zip(objects.labels(), objects.pixels(), out, strict=True):
        inside = labels == label
        expected = reference.counts(view, mu=mu, margin=margin, reflect=reflect, inside=inside)
        np.testing.assert_array_equal(found, expected)
        assert pixels == inside.sum()


@check
@given(
    scene=bounded_images(),
    layout=layouts,
    threshold=st.sampled_from([0.0, 0.1, 0.5, 0.999, 1.0]),
    border=borders,
    kernel=kernels,
    is_foreign=st.booleans(),
)
def test_tas_of_any_array_in_any_byte_order_equals_the_reference(
    scene, layout, threshold, border, kernel, is_foreign
):
    image, _, margin = scene
    top = np.iinfo(image.dtype).max if image.dtype.kind == "u" else 1.0
    view = LAYOUTS[layout](image)
    given_view = LAYOUTS[layout](image.astype(image.dtype.newbyteorder())) if is_foreign else view
    how = {"threshold": threshold * top, "margin": margin}
    found = tas(given_view, **how, axes=AXES[view.ndim], border=border, kernel=kernel)
    expected = reference.tas(view, **how, reflect=border == "reflect")
    np.testing.assert_array_equal(found, expected)


small = st.tuples(st.integers(1, 5), st.sampled_from([1, 2, 7, 63, 64, 65]))
small_volumes = st.tuples(st.integers(1, 3), st.integers(1, 3), st.sampled_from([1, 5, 33, 64]))


@check
@given(
    scene=bounded_images(small | small_volumes, dtypes=tuple(INTEGERS)),
    layout=layouts,
    border=borders,
    kernel=kernels,
    data=st.data(),
)
def test_pftas_of_any_image_or_mask_equals_the_reference(scene, layout, border, kernel, data):
    view = LAYOUTS[layout](scene[0])
    mask = data.draw(st.none() | regions(view.shape).map(lambda labels: labels > 0))
    found = pftas(view, mask=mask, axes=AXES[view.ndim], border=border, kernel=kernel)
    expected = reference.pftas(view, inside=mask, reflect=border == "reflect")
    np.testing.assert_array_equal(found, expected)


# ---- turning the image does not change its statistics ---------------------------------------


@check
@given(
    scene=bounded_images(planes | small_volumes),
    function=st.sampled_from([tas, pftas]),
    border=borders,
    data=st.data(),
)
def test_flips_and_quarter_turns_change_nothing(scene, function, border, data):
    image = scene[0]
    if image.dtype.kind == "f":
        function = tas
    mask = data.draw(st.none() | regions(image.shape).map(lambda labels: labels > 0))
    flipped = data.draw(st.sets(st.integers(0, image.ndim - 1)))
    turns = data.draw(st.integers(0, 3))
    plane = data.draw(st.permutations(range(image.ndim)))[:2]

    def turned(x):
        return np.rot90(np.flip(x, tuple(flipped)), turns, plane)

    how = {"axes": AXES[image.ndim], "border": border, **right_parameters(function, image)}
    before = function(image, mask=mask, **how)
    after = function(turned(image), mask=None if mask is None else turned(mask), **how)
    np.testing.assert_array_equal(after, before)


@check
@given(seed=seeds, shape=planes, dtype=st.sampled_from(FLOATS), turns=st.integers(1, 3))
def test_the_mean_of_floats_does_not_depend_on_their_order(seed, shape, dtype, turns):
    """Sizes as different as these are summed wrongly by any order of plain additions."""
    rng = np.random.default_rng(seed)
    sizes = np.array([1e-30, 1e-8, 0.1, 1.0, 3e7, 1e20], dtype)
    image = rng.choice(sizes, shape) * rng.choice(np.array([-1, 1, 1], dtype), shape)
    rule = features.Rule("tas", threshold=-1e25, margin=0.2)
    before, after = measure(image, rule), measure(np.rot90(image, turns), rule)
    assert before.mu == after.mu
    np.testing.assert_array_equal(before.values, after.values)


# ---- totals ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", KERNELS)
@check
@given(scene=bounded_images(), reflect=st.booleans(), data=st.data())
def test_on_and_off_pixels_are_together_those_of_the_region(scene, reflect, data, kernel):
    image, mu, margin = scene
    inside = data.draw(st.none() | regions(image.shape).map(lambda labels: labels > 0))
    found = counted(image, mu, margin, reflect=reflect, kernel=kernel, inside=inside)
    region = image if inside is None else image[inside]
    assert found.sum(axis=(1, 2)).tolist() == [region.size] * 3
    is_on = [region.astype(float) > mu - margin, region.astype(float) > mu]
    assert found[1:, 0].sum(axis=1).tolist() == [on.sum() for on in is_on]


@check
@given(scene=bounded_images(), border=borders, kernel=kernels)
def test_a_half_sums_to_one_or_has_no_pixels(scene, border, kernel):
    image = scene[0]
    how = {"axes": AXES[image.ndim], **right_parameters(tas, image)}
    halves = tas(image, border=border, kernel=kernel, **how).reshape(6, -1)
    sums = halves.sum(axis=1)
    assert np.all((np.abs(sums - 1) < 1e-12) | (sums == 0))
    assert np.all(sums.reshape(3, 2).sum(axis=1) > 0)  # not both halves of an interval
    assert np.all(halves >= 0)


# ---- stacks, masks and labels are many single images ----------------------------------------


@check
@given(
    scene=bounded_images(small_volumes),
    function=st.sampled_from([tas, pftas]),
    layout=layouts,
    border=borders,
    kernel=kernels,
    with_masks=st.booleans(),
    data=st.data(),
)
def test_a_stack_gives_what_its_images_give_one_by_one(
    scene, function, layout, border, kernel, with_masks, data
):
    stack = LAYOUTS[layout](scene[0])
    if stack.dtype.kind == "f":
        function = tas
    masks = [None] * len(stack)
    if with_masks:
        masks = np.array([data.draw(regions(image.shape)) > 0 for image in stack])
    how = {"border": border, "kernel": kernel, **right_parameters(function, stack)}
    together = function(stack, axes="nyx", mask=masks if with_masks else None, **how)
    alone = [function(image, mask=m, **how) for image, m in zip(stack, masks, strict=True)]
    np.testing.assert_array_equal(together, alone)


@check
@given(
    scene=bounded_images(small | small_volumes),
    function=st.sampled_from([tas, pftas]),
    border=borders,
    kernel=kernels,
    data=st.data(),
)
def test_labels_give_what_one_mask_after_the_other_gives(scene, function, border, kernel, data):
    image = scene[0]
    if image.dtype.kind == "f":
        function = tas
    labels = data.draw(regions(image.shape))
    how = {"axes": AXES[image.ndim], "border": border, "kernel": kernel}
    how |= right_parameters(function, image)
    numbers = np.unique(labels[labels > 0])
    alone = [function(image, mask=labels == number, **how) for number in numbers]
    np.testing.assert_array_equal(function(image, labels=labels, **how), alone)


@check
@given(
    scene=bounded_images(small | small_volumes),
    function=st.sampled_from([tas, pftas]),
    kernel=kernels,
    data=st.data(),
)
def test_labels_give_what_cropping_each_object_gives(scene, function, kernel, data):
    """Beyond an object is off, as beyond the image: the crop shows all there is to see."""
    image = scene[0]
    if image.dtype.kind == "f":
        function = tas
    labels = data.draw(regions(image.shape))
    how = {"axes": AXES[image.ndim], "kernel": kernel, **right_parameters(function, image)}
    rows = function(image, labels=labels, **how)
    for number, row in zip(np.unique(labels[labels > 0]), rows, strict=True):
        where = np.nonzero(labels == number)
        box = tuple(slice(at.min(), at.max() + 1) for at in where)
        np.testing.assert_array_equal(
            row, function(image[box], mask=labels[box] == number, **how), err_msg=f"{number}"
        )


@check
@given(
    scene=bounded_images(small | small_volumes, dtypes=tuple(INTEGERS)),
    scope=st.sampled_from(["object", "image"]),
    data=st.data(),
)
def test_renumbering_objects_permutes_their_rows(scene, scope, data):
    image = scene[0]
    labels = data.draw(regions(image.shape))
    renumbered = np.zeros_like(labels)
    new = data.draw(st.permutations(LABELS[1:].tolist()))
    for old, number in zip(LABELS[1:], new, strict=True):
        renumbered[labels == old] = number
    how = {"axes": AXES[image.ndim], "scope": scope}
    before = measure_objects(image, labels, **how)
    after = measure_objects(image, renumbered, **how)
    names = dict(zip(LABELS[1:].tolist(), new, strict=True))
    at = np.argsort([names[number] for number in before.labels.tolist()])
    assert after.labels.tolist() == sorted(names[number] for number in before.labels.tolist())
    for column in ("pixels", "threshold", "margin", "mu", "empty", "values"):
        np.testing.assert_array_equal(getattr(after, column), getattr(before, column)[at])


@check
@given(
    scene=bounded_images(planes | small_volumes, dtypes=tuple(INTEGERS)),
    function=st.sampled_from([tas, pftas]),
    data=st.data(),
)
def test_what_is_beyond_a_mask_has_no_influence(scene, function, data):
    image = scene[0]
    inside = data.draw(regions(image.shape)) > 0
    other = np.where(inside, image, np.iinfo(image.dtype).max - image)
    how = {"mask": inside, "axes": AXES[image.ndim], "border": data.draw(borders)}
    np.testing.assert_array_equal(function(other, **how), function(image, **how))


@check
@given(
    scene=bounded_images(planes | small_volumes),
    function=st.sampled_from([tas, pftas]),
    border=borders,
)
def test_a_mask_of_all_pixels_is_no_mask(scene, function, border):
    image = scene[0]
    if image.dtype.kind == "f":
        function = tas
    how = {"axes": AXES[image.ndim], "border": border, **right_parameters(function, image)}
    everything = np.ones(image.shape, dtype=bool)
    expected = function(image, **how)
    np.testing.assert_array_equal(function(image, mask=everything, **how), expected)
    np.testing.assert_array_equal(function(image, labels=everything.astype(int), **how), [expected])
