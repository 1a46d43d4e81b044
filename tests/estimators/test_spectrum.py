"""Singular values and effective ranks that are known."""

import math

import numpy as np
import pytest
import torch

from seqprobe.estimators.spectrum import (
    effective_rank,
    log_singular_values,
    product_singular_values,
)

DOUBLE = torch.float64


def constant(matrix):
    return lambda tangents, step: tangents @ matrix.mT


def test_equal_values_have_full_rank_and_one_value_has_rank_one():
    values = torch.tensor([[1.0, 1.0, 1.0, 1.0], [3.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    assert effective_rank(values).tolist() == pytest.approx([4, 1, 0])
    assert effective_rank(torch.linalg.svdvals(torch.eye(9))).item() == pytest.approx(9)


@pytest.mark.parametrize("scale", [1e-40, 1.0, 1e38])
def test_two_values_have_the_entropy_of_a_coin(scale):
    """Also where their sum would overflow."""
    p = 0.75
    coin = -p * math.log(p) - (1 - p) * math.log(1 - p)
    values = torch.tensor([3.0, 1.0]) * scale
    assert effective_rank(values).item() == pytest.approx(math.exp(coin), rel=1e-4)


def test_singular_values_of_a_scaled_matrix():
    matrices = torch.randn(2, 5, 3, dtype=DOUBLE)
    scales = torch.tensor([-5000.0, 700.0], dtype=DOUBLE)
    found = log_singular_values(matrices, scales)
    for matrix, scale, logs in zip(matrices, scales, found, strict=True):
        truth = np.log(np.linalg.svd(matrix.numpy(), compute_uv=False)) + scale.item()
        assert logs.tolist() == pytest.approx(truth.tolist(), abs=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
def test_values_made_of_rounding_are_minus_infinity(dtype):
    left, right = torch.randn(6, 2, dtype=dtype), torch.randn(2, 6, dtype=dtype)
    matrices = torch.stack([left @ right, torch.zeros(6, 6, dtype=dtype)])
    found = log_singular_values(matrices, torch.zeros(2, dtype=DOUBLE))
    assert found.isfinite().sum(-1).tolist() == [2, 0]
    assert found[0, 2:].isneginf().all()


def test_an_orthogonal_map_keeps_every_value():
    turn = torch.linalg.qr(torch.randn(8, 8, dtype=DOUBLE)).Q
    found = product_singular_values(constant(turn), 8, [0, 1, 500], batch=2, dtype=DOUBLE)
    assert found.shape == (3, 2, 8)
    assert found.abs().max() < 1e-12


@pytest.mark.parametrize("factor", [0.5, 0.3, 7.0])
@pytest.mark.parametrize(("dtype", "precision"), [(torch.float32, 1e-6), (DOUBLE, 1e-12)])
def test_no_distance_is_too_far(factor, dtype, precision):
    """Far beyond the range of the dtype on either side; each sequence has its own factor."""
    factors = torch.tensor([factor, 1.0, 1e-9], dtype=dtype)
    push = lambda tangents, step: tangents * factors[:, None, None]  # noqa: E731
    found = product_singular_values(push, 3, [10, 2000], batch=3, dtype=dtype)
    truth = torch.tensor([10, 2000])[:, None, None] * factors.double().log()[:, None]
    assert torch.allclose(found, truth.expand(2, 3, 3), rtol=precision, atol=0)


def test_half_two_thousand_times_is_exact():
    found = product_singular_values(constant(0.5 * torch.eye(3)), 3, [2000])
    assert found.flatten().tolist() == pytest.approx([2000 * math.log(0.5)] * 3, rel=1e-14)


def test_a_non_normal_map_first_grows():
    matrix = np.array([[0.9, 5.0], [0.0, 0.9]])
    steps = [1, 2, 20, 21]
    found = product_singular_values(constant(torch.tensor(matrix)), 2, steps, dtype=DOUBLE)
    for step, logs in zip(steps, found[:, 0], strict=True):
        power = np.linalg.matrix_power(matrix, step)
        truth = np.log(np.linalg.svd(power, compute_uv=False))
        assert logs.tolist() == pytest.approx(truth.tolist(), abs=1e-10)
    assert found[2, 0, 0].exp().item() == pytest.approx(13.5, abs=0.05)


def test_jacobians_multiply_in_the_order_of_time():
    jacobians = torch.randn(4, 3, 3, dtype=DOUBLE)
    push = lambda tangents, step: tangents @ jacobians[step].mT  # noqa: E731
    found = product_singular_values(push, 3, [2, 4], dtype=DOUBLE)[:, 0]
    first, second, third, fourth = jacobians
    for product, logs in zip([second @ first, fourth @ third @ second @ first], found, strict=True):
        assert torch.allclose(torch.linalg.svdvals(product).log(), logs, rtol=0, atol=1e-10)


def test_a_long_product_of_small_matrices_shows_no_rounding_as_a_number():
    """Of 2x2 matrices the determinant tells the second value. In float32 it is lost soon, and
    rounding that grows again must not stand for it."""
    jacobians = torch.tensor([1.0, 0.3]).diag() @ torch.linalg.qr(torch.randn(120, 64, 2, 2)).Q
    push = lambda tangents, step: tangents @ jacobians[step].mT  # noqa: E731
    first, second = product_singular_values(push, 2, range(1, 121), batch=64).unbind(-1)
    truth = jacobians.double().det().abs().log().cumsum(0) - first
    shown = second.isfinite()
    assert shown[0].all()
    assert not shown[-1].any()
    assert (second - truth)[shown].abs().max() < 0.1


def test_a_map_that_forgets_everything():
    shift = torch.diag(torch.ones(2), 1)
    found = product_singular_values(constant(shift), 3, [1, 2, 3, 9])[:, 0]
    assert found.isfinite().sum(-1).tolist() == [2, 1, 0, 0]


def test_steps_have_to_ascend():
    with pytest.raises(ValueError, match=r"steps are \[3, 1\]; they have to ascend"):
        product_singular_values(constant(torch.eye(2)), 2, [3, 1])
