"""What cannot be estimated is refused, and says why."""

import pytest
import torch

from seqprobe.estimators.information import decodable_bits


def drawn(sequences=20, steps=20, width=3, classes=4):
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(sequences, steps, width, generator=generator)
    return states, torch.randint(classes, (sequences, steps, 2), generator=generator)


def refused(states, labels, classes=4, **options):
    """The reasons; they come as estimates without a value."""
    found = decodable_bits(states, labels, classes, effort="linear", **options)
    for lag, estimate in enumerate(found.estimates()):
        if found.reasons[lag]:
            assert found.verdicts[lag] == "not estimable"
            assert estimate.value is None
            assert estimate.status == "not estimable"
            assert estimate.reason == found.reasons[lag]
            assert estimate.n == len(states)
            assert not estimate.supports_findings
        else:
            assert estimate.value is not None
    return found.reasons


def test_nothing_is_refused_without_need():
    assert refused(*drawn()) == ("", "")


def test_too_few_sequences():
    why = "7 sequences are too few to hold any out; 8 are needed"
    assert refused(*drawn(sequences=7)) == (why, why)


@pytest.mark.parametrize(("steps", "width"), [(0, 3), (20, 0)])
def test_no_states(steps, width):
    reasons = refused(*drawn(steps=steps, width=width))
    assert reasons[0] == f"no states: {steps} steps of {width} numbers"


@pytest.mark.parametrize("number", [torch.inf, -torch.inf, torch.nan])
def test_infinite_states(number):
    states, labels = drawn()
    states[3, 4, 1] = number
    assert refused(states, labels)[0] == "the states hold infinite values or NaN"


def test_states_that_never_change():
    states, labels = drawn()
    why = "the states never change: their variance is zero"
    assert refused(torch.full_like(states, 7.0), labels) == (why, why)


def test_a_constant_feature_among_others_does_no_harm():
    states, labels = drawn()
    dull = torch.cat([states, torch.full_like(states[..., :2], 3.0)], dim=2)
    found = decodable_bits(dull, labels, 4, effort="linear")
    assert found.reasons == ("", "")
    plain = decodable_bits(states, labels, 4, effort="linear")
    assert found.lower == pytest.approx(plain.lower, abs=0.01)


def test_sequences_that_come_twice():
    states, labels = drawn()
    twice, labels = torch.cat([states, states[:5]]), torch.cat([labels, labels[:5]])
    assert refused(twice, labels)[0] == (
        "5 of 25 sequences of states are copies of others: what is held out would have been seen"
    )


def test_rows_that_come_twice_within_sequences_may():
    states, labels = drawn()
    assert refused(torch.cat([states, states], 1), torch.cat([labels, labels], 1)) == ("", "")


def test_a_state_that_names_the_symbol_may_come_often():
    states = torch.arange(4.0).repeat(100, 1)[..., None].expand(100, 4, 1)
    assert refused(states, states.long()) == ("",)


def test_fewer_samples_than_classes():
    states, labels = drawn(sequences=8, steps=2)
    assert refused(states, labels, classes=100)[0] == "16 samples are fewer than the 100 classes"


def test_a_class_that_never_occurs_at_one_lag():
    states, labels = drawn()
    labels[..., 1] = labels[..., 1].clamp(max=2)
    assert refused(states, labels) == ("", "class 3 of 4 never occurs in 400 samples")


def test_a_class_that_has_no_chance_need_not_occur():
    states, labels = drawn()
    thirds = torch.tensor([1 / 3, 1 / 3, 1 / 3, 0])
    assert refused(states, labels.clamp(max=2), chances=thirds) == ("", "")


def test_too_few_samples_for_so_many_numbers():
    assert refused(*drawn(sequences=8, steps=10, width=100))[0] == (
        "64 samples are too few to find anything with 303 numbers to fit: up to 3.4 bits may be "
        "lost; 2180 samples would lose 0.1"
    )


def test_samples_are_not_too_few_where_something_is_found_in_spite():
    states, labels = drawn(sequences=16, steps=10, width=100)
    states[..., :4] += 100 * torch.nn.functional.one_hot(labels[..., 0], 4)
    reasons = refused(states, labels)
    assert reasons[0] == ""
    assert "too few to find anything" in reasons[1]
