"""The rules of magnitude pruning, on arrays."""

import doctest
import itertools

import numpy as np
import pytest

from kerastune.analysis import sparsity


def kernels(seed=1):
    generator = np.random.default_rng(seed)
    return [
        generator.normal(size=shape).astype(np.float32)
        for shape in ([30, 20], [3, 3, 4, 8], [20, 5])
    ]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.83, 0.95])
def test_exactly_the_asked_share_of_the_smallest_weights_goes(share):
    given = kernels()
    flat = np.concatenate([np.abs(kernel).ravel() for kernel in given])
    kept = np.concatenate([mask.ravel() for mask in sparsity.masks(given, share)])
    assert (kept == 0).sum() == int(share * len(flat))
    if share:
        assert flat[kept == 0].max() < flat[kept == 1].min()


def test_of_each_kernel_by_layer_and_of_all_together_globally():
    given = [kernel * scale for kernel, scale in zip(kernels(), (1, 10, 100), strict=True)]
    by_layer = [1 - mask.mean() for mask in sparsity.masks(given, 0.6, "layer")]
    np.testing.assert_allclose(by_layer, 0.6, atol=0.01)
    together = [1 - mask.mean() for mask in sparsity.masks(given, 0.6)]
    # The layer of small weights loses nearly all of them, that of large ones hardly any.
    assert together[0] > 0.9 and together[2] < 0.05
    assert [mask.shape for mask in sparsity.masks(given, 0.6)] == [kernel.shape for kernel in given]


def test_no_layer_is_emptied():
    given = [np.full([10, 10], 1e-6), np.ones([10, 10])]
    assert [mask.sum() for mask in sparsity.masks(given, 0.5)][0] == 1
    assert all(mask.sum() >= 1 for mask in sparsity.masks(given, 0.9999))


def test_ties_do_not_change_how_many_go_and_zeros_go_first():
    assert sum(mask.sum() for mask in sparsity.masks([np.ones([10, 10])], 0.3)) == 70
    pruned = [
        kernel * mask
        for kernel, mask in zip(kernels(), sparsity.masks(kernels(), 0.5), strict=True)
    ]
    again = sparsity.masks(pruned, 0.5)
    for kernel, mask in zip(pruned, again, strict=True):
        assert ((kernel == 0) == (mask == 0)).all()


def test_a_weight_that_is_not_a_number_stays_to_be_noticed():
    kernel = np.array([np.nan, 1.0, 2.0, 3.0])
    assert sparsity.masks([kernel], 0.5)[0].tolist()[0] == 1


def test_the_schedule_is_a_cubic_in_stairs_that_ends_where_it_should():
    followed = [sparsity.at(step, 0.9, 100, 500, 50) for step in range(0, 700)]
    assert followed[:150] == [0.0] * 150
    assert set(followed[500:]) == {0.9}
    assert followed[300] == pytest.approx(0.9 * (1 - 0.5**3))
    assert all(later >= earlier for earlier, later in itertools.pairwise(followed))
    assert len(set(followed)) == 9  # 0 and a change at 150, 200 ... 500
    assert sparsity.at(99, 0.9, 100, 100, 1) == 0 and sparsity.at(100, 0.9, 100, 100, 1) == 0.9


@pytest.mark.parametrize("share", [1, 1.0, -0.1, float("nan"), 80, "0.8", True])
def test_a_share_out_of_range_is_refused_by_name(share):
    with pytest.raises(ValueError, match=r"`sparsity` must be a fraction in \[0, 1\), .* got "):
        sparsity.check(share)


@pytest.mark.parametrize(
    "schedule, words",
    [
        ((0.5, -1, 10, 5), "`begin_step` must be >= 0, got -1"),
        ((0.5, 20, 10, 5), r"`end_step` \(10\) must be >= `begin_step` \(20\)"),
        ((0.5, 0, 10, 0), "`every` must be >= 1, got 0"),
    ],
)
def test_a_schedule_that_can_not_be_followed_is_refused(schedule, words):
    with pytest.raises(ValueError, match=words):
        sparsity.check_schedule(*schedule)


def test_another_scope_is_refused():
    with pytest.raises(ValueError, match="`scope` must be one of global, layer, got 'channel'"):
        sparsity.masks(kernels(), 0.5, "channel")


def test_zeros_make_the_compressed_weights_smaller():
    pruned = [
        kernel * mask
        for kernel, mask in zip(kernels(), sparsity.masks(kernels(), 0.9), strict=True)
    ]
    assert sparsity.gzipped(pruned) < 0.3 * sparsity.gzipped(kernels())
    assert sparsity.zeros(pruned) == pytest.approx(0.9, abs=0.002)


def test_examples():
    assert doctest.testmod(sparsity).failed == 0
