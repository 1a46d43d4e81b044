"""Exponents that are known: linear maps, random products, chaotic maps, and what has none."""

import math

import pytest
import torch
from scipy.special import digamma, polygamma

from seqprobe.estimators.lyapunov import lyapunov_exponents, orthonormal

pytestmark = pytest.mark.usefixtures("double")
GOLDEN = (1 + math.sqrt(5)) / 2


def constant(matrix):
    return lambda tangents, step: tangents @ matrix.mT


def through(jacobians):
    """Jacobians (steps, [batch,] state, state), over and over if there are fewer than steps."""
    return lambda tangents, step: tangents @ jacobians[step % len(jacobians)].mT


def exponents(push, state, steps, *, batch=1, kept=None, burn_in=0, every=4, dtype=torch.float64):
    start = orthonormal(batch, kept or state, state, dtype=dtype)
    return lyapunov_exponents(push, start, steps, burn_in=burn_in, every=every).exponents


def with_eigenvalues(*values):
    basis = torch.eye(len(values)) + 0.2 * torch.randn(len(values), len(values))
    return basis @ torch.diag(torch.tensor(values)) @ torch.linalg.inv(basis)


@pytest.mark.parametrize("kept", [1, 2, 4])
def test_a_linear_map_grows_by_its_eigenvalues(kept):
    matrix = with_eigenvalues(1.5, -0.9, 0.4, 0.1)
    found = exponents(constant(matrix), 4, 400, kept=kept, burn_in=100)
    truth = torch.tensor([1.5, 0.9, 0.4, 0.1]).log()[:kept]
    assert torch.allclose(found[0], truth, rtol=0, atol=1e-10)


def test_an_orthogonal_map_neither_grows_nor_fades():
    turn = torch.linalg.qr(torch.randn(16, 16)).Q
    assert exponents(constant(turn), 16, 500).abs().max() < 1e-12


@pytest.mark.parametrize("gain", [0.7, 1.3])
def test_fresh_gaussian_matrices_have_newmans_spectrum(gain):
    """The distribution of Lyapunov exponents: exact results for random matrices (Newman, 1986).

    Each gain of the i-th direction is half the logarithm of a chi-square of N - i + 1, so the
    deviation of the mean is known as well.
    """
    state, steps, batch = 8, 400, 32
    freedom = torch.arange(state, 0, -1).numpy()
    truth = math.log(gain) + (digamma(freedom / 2) + math.log(2 / state)) / 2
    deviation = (polygamma(1, freedom / 2) / 4 / (steps * batch)) ** 0.5
    jacobians = gain / math.sqrt(state) * torch.randn(steps, batch, state, state)
    found = exponents(through(jacobians), state, steps, batch=batch).mean(0).numpy()
    assert (abs(found - truth) < 4 * deviation).all()


def test_the_logistic_map_doubles_up_to_its_boundary_term():
    """At r = 4 the slope of T steps is 2^T times a ratio of the first and the last position."""
    steps, orbit = 2000, [torch.rand(16)]
    for _ in range(steps):
        orbit.append(4 * orbit[-1] * (1 - orbit[-1]))
    slopes = torch.stack([4 - 8 * x for x in orbit[:-1]])[..., None, None]
    first, last = ((x * (1 - x)).log() / 2 for x in (orbit[0], orbit[-1]))
    found = exponents(through(slopes), 1, steps, batch=16)[:, 0]
    assert torch.allclose(found, math.log(2) + (last - first) / steps, rtol=0, atol=1e-7)
    assert found.mean().item() == pytest.approx(math.log(2), abs=2e-3)


def henon_jacobians(batch, steps, a=1.4, b=0.3, transient=100):
    x, y = 0.1 * torch.rand(2, batch)
    jacobians = []
    for _ in range(transient + steps):
        rows = [-2 * a * x, torch.ones(batch), torch.full((batch,), b), torch.zeros(batch)]
        jacobians.append(torch.stack(rows, dim=-1).view(batch, 2, 2))
        x, y = 1 - a * x**2 + y, b * x
    return torch.stack(jacobians[transient:])


def test_the_henon_map_has_its_known_exponents():
    """Chaos and Time-Series Analysis (Sprott, 2003)."""
    jacobians = henon_jacobians(batch=64, steps=3000)
    found = exponents(through(jacobians), 2, 3000, batch=64, burn_in=100)
    error = found.std(0) / math.sqrt(64)
    assert error.max() < 2e-3
    assert ((found.mean(0) - torch.tensor([0.41922, -1.62319])).abs() < 4 * error).all()


@pytest.mark.parametrize("steps", [1, 7, 100])
def test_exponents_sum_to_the_logarithm_of_the_determinant(steps):
    """At any time: every Jacobian of the Henon map has the determinant -0.3."""
    push = through(henon_jacobians(batch=3, steps=steps))
    total = exponents(push, 2, steps, batch=3).sum(-1)
    assert torch.allclose(total, torch.tensor(0.3).log(), rtol=0, atol=1e-10)


def test_the_product_has_the_order_of_time():
    """J3 J2 J1 has trace 3, so its spectral radius is the golden ratio squared; J1 J2 J3, which
    transposed Jacobians in the order of time would give, has trace 4.5."""
    stretch = torch.tensor([[2.0, 0.0], [0.0, 0.5]])
    shear = torch.tensor([[1.0, 1.0], [0.0, 1.0]])
    cycle = torch.stack([stretch, shear, shear.mT])
    truth = 2 * math.log(GOLDEN) / 3
    found = exponents(through(cycle), 2, 300, burn_in=60)[0]
    assert found.tolist() == pytest.approx([truth, -truth], abs=1e-12)

    reversed_truth = math.acosh(4.5 / 2) / 3
    reversed_found = exponents(through(cycle.mT), 2, 300, burn_in=60)[0, 0].item()
    assert reversed_found == pytest.approx(reversed_truth, abs=1e-12)
    assert reversed_truth - truth > 0.16


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("every", [1, 4])
def test_an_annihilated_direction_is_minus_infinity(dtype, every):
    """One sequence loses two of four directions to rounding, the other, far smaller, keeps all."""
    turn = torch.linalg.qr(torch.randn(4, 4)).Q
    kept = torch.tensor([[1e4, 5e3, 0.0, 0.0], [1e-4, 5e-5, 5e-5, 1e-5]])
    push = through((turn @ torch.diag_embed(kept) @ turn.mT).to(dtype)[None])
    found = exponents(push, 4, 200, batch=2, burn_in=80, every=every, dtype=dtype)
    assert torch.allclose(found, kept.log(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("every", [1, 4])
def test_what_forgets_everything_has_no_finite_exponent(every):
    shift = torch.diag(torch.ones(3), 1)
    for matrix in (torch.zeros(4, 4), shift):
        assert (exponents(constant(matrix), 4, 20, every=every) == -math.inf).all()


def test_rounding_is_measured_by_the_whole_matrix_not_by_its_eigenvalue():
    """u v^T has one exponent, ln |u v|, and loses the other direction; here u v is small."""
    turned, angle = torch.arange(256.0), 0.02
    u = torch.stack([turned.cos(), turned.sin()], dim=-1)
    v = torch.stack([-(turned - angle).sin(), (turned - angle).cos()], dim=-1)
    jacobians = u[:, :, None] * v[:, None]
    found = exponents(through(jacobians[None]), 2, 60, batch=256, burn_in=10)
    assert torch.allclose(found[:, 0], torch.tensor(math.sin(angle)).log(), rtol=0, atol=1e-10)
    assert found[:, 1].isneginf().all()


def test_a_direction_lost_once_does_not_come_back():
    jacobians = torch.eye(3).repeat(40, 1, 1)
    jacobians[10, 2, 2] = 0
    start = orthonormal(1, 3, 3, dtype=torch.float64)
    lost = lyapunov_exponents(through(jacobians), start, 40, burn_in=0)
    assert lost.running[-1].isneginf().sum() == 1
    assert lost.running[:2].isfinite().all()
    later = lyapunov_exponents(through(jacobians), start, 40, burn_in=12)
    assert later.exponents.abs().max() < 1e-12


def test_a_non_normal_map_fades_only_in_the_long_run():
    """|| J^t x || is .9^t t up to a constant: counted from B to T, what is left is ln(T / B)."""
    push = constant(torch.tensor([[0.9, 5.0], [0.0, 0.9]]))
    found = exponents(push, 2, 10_000, burn_in=1000)[0] - math.log(0.9)
    assert found.tolist() == pytest.approx([math.log(10) / 9000, -math.log(10) / 9000], rel=1e-2)
    assert exponents(push, 2, 20)[0, 0] > 0.05


def test_the_steps_between_two_factorisations_do_not_matter():
    jacobians = torch.eye(5) + torch.randn(150, 3, 5, 5) / 5
    one, *others = (
        exponents(through(jacobians), 5, 150, batch=3, burn_in=30, every=every)
        for every in (1, 4, 8)
    )
    for other in others:
        assert torch.allclose(one, other, rtol=0, atol=1e-9)


def test_checkpoints_count_from_the_end_of_burn_in():
    """Growth is 2 in the burn-in and 3 afterwards; the last step is a checkpoint as well."""
    growth = [2] * 5 + [3] * 11
    start = orthonormal(2, 1, 3, dtype=torch.float64)
    found = lyapunov_exponents(lambda rows, step: rows * growth[step], start, 16, burn_in=5)
    assert found.steps == (4, 8, 11)
    assert found.running.shape == (3, 2, 1)
    assert torch.allclose(found.running, torch.tensor(3.0).log())
    assert torch.equal(found.exponents, found.running[-1])


def test_logarithms_add_up_in_double_precision():
    """A float32 sum of 2000 logarithms would be off by more than 1e-6."""
    found = exponents(lambda tangents, _: tangents / 2, 1, 2000, every=1, dtype=torch.float32)
    assert found.dtype == torch.float64
    assert found.item() == pytest.approx(-math.log(2), rel=1e-12)


def test_the_start_is_orthonormal_and_comes_back_with_its_seed():
    start = orthonormal(3, 4, 7, seed=5)
    assert start.dtype == torch.float32
    assert torch.allclose(start @ start.mT, torch.eye(4, dtype=torch.float32), atol=1e-6)
    assert torch.equal(start, orthonormal(3, 4, 7, seed=5))
    assert not torch.equal(start, orthonormal(3, 4, 7, seed=6))
    with pytest.raises(ValueError, match="a state of 3 has no 4 exponents"):
        orthonormal(1, 4, 3)


def test_a_burn_in_that_leaves_nothing_is_refused():
    with pytest.raises(ValueError, match="burn_in is 10; it leaves nothing to count of 10 steps"):
        exponents(constant(torch.eye(2)), 2, 10, burn_in=10)
