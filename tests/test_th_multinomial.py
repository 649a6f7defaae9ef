"""TH's multinomial functions: frequencies against the probabilities, and what cannot be sampled."""

from __future__ import annotations

import pytest
import torch

SOURCE = """
#include <TH/TH.h>
void draw(THLongTensor *out, THDoubleTensor *p, int n, int replacement, long seed) {
  THGenerator *g = THGenerator_new();
  THRandom_manualSeed(g, seed);
  THDoubleTensor_multinomial(out, g, p, n, replacement);
  THGenerator_free(g);
}
void alias(THLongTensor *out, THDoubleTensor *p, THLongTensor *J, THDoubleTensor *q, long seed) {
  THGenerator *g = THGenerator_new();
  THRandom_manualSeed(g, seed);
  THDoubleTensor_multinomialAliasSetup(p, J, q);
  THDoubleTensor_multinomialAliasDraw(out, g, J, q);
  THGenerator_free(g);
}
int threads(int n) {
  int before = THGetNumThreads();
  THSetNumThreads(n);
  int now = THGetNumThreads();
  THSetNumThreads(before);
  return now;
}
"""
P = torch.tensor([0.1, 0.0, 2.0, 0.7, 0.2], dtype=torch.float64)


@pytest.fixture(scope="module")
def module(build_once):
    return build_once(None, SOURCE)


def chi_square(samples, p):
    counts = torch.bincount(samples.reshape(-1), minlength=len(p)).double()
    expected = p / p.sum() * samples.numel()
    assert counts[expected == 0].sum() == 0
    some = expected > 0
    return ((counts - expected)[some] ** 2 / expected[some]).sum().item()


def test_frequencies_with_replacement(module):
    out = torch.LongTensor()
    module.draw(out, P, 20000, 1, 5)
    assert out.shape == (20000,)
    assert chi_square(out, P) < 16.3  # 99.9 % of the distribution of 3 degrees of freedom
    rows = torch.stack([P, P.flip(0)])
    module.draw(out, rows, 20000, 1, 6)
    assert out.shape == (2, 20000)
    assert chi_square(out[0], P) < 16.3 and chi_square(out[1], P.flip(0)) < 16.3


def test_without_replacement_each_is_drawn_once(module):
    out = torch.LongTensor()
    first = []
    for seed in range(2000):
        module.draw(out, P, 4, 0, seed)
        assert sorted(out.tolist()) == [0, 2, 3, 4]
        first.append(out[0].item())
    assert chi_square(torch.tensor(first), P) < 16.3


def test_what_is_rare_is_drawn_when_nothing_else_is_left(module):
    """The others' part of the whole, 1e-30, is lost beside 1."""
    out = torch.LongTensor()
    module.draw(out, torch.tensor([0, 1e-30, 0, 1, 2e-30]).double(), 3, 0, 1)
    assert out.tolist()[0] == 3 and sorted(out.tolist()) == [1, 3, 4]


def test_the_alias_method(module):
    out, J, q = torch.zeros(20000, dtype=torch.long), torch.LongTensor(), torch.DoubleTensor()
    p = P / P.sum()
    module.alias(out, p, J, q, 7)
    # the table holds the distribution exactly: column i gives q[i] to i and the rest to J[i]
    held = q.clone().index_add(0, J, 1 - q) / len(p)
    torch.testing.assert_close(held, p)
    assert chi_square(out, p) < 16.3


def test_results_of_any_strides(module):
    rows = torch.stack([P, P.flip(0), P])
    dense = torch.zeros(3, 4, dtype=torch.long)
    module.draw(dense, rows, 4, 1, 8)
    turned = torch.zeros(4, 3, dtype=torch.long).t()
    module.draw(turned, rows, 4, 1, 8)
    assert torch.equal(turned, dense)
    whole = torch.full((3, 8), -1)
    module.draw(whole[:, ::2], rows, 4, 1, 8)
    assert torch.equal(whole[:, ::2], dense) and (whole[:, 1::2] == -1).all()
    one = torch.zeros(1, dtype=torch.long)
    module.draw(one.expand(3, 4), rows, 4, 1, 8)  # memory for one
    assert one.item() == dense[2, 3]

    J, q, out = torch.LongTensor(), torch.DoubleTensor(), torch.zeros(9, dtype=torch.long)
    module.alias(out, P / P.sum(), J, q, 7)
    held = torch.full((10,), -1), torch.full((10,), -1.0, dtype=torch.float64)
    again = torch.zeros(9, dtype=torch.long)
    module.alias(again, P / P.sum(), held[0][::2], held[1][::2], 7)
    assert torch.equal(held[0][::2], J) and torch.equal(held[1][::2], q)
    assert all((x[1::2] == -1).all() for x in held) and torch.equal(again, out)


@pytest.mark.parametrize(
    ("p", "n", "replacement", "text"),
    [
        (torch.ones(2, 2, 2), 1, 1, "1 or 2 dim"),
        (torch.ones(3), 0, 1, "n_sample"),
        (torch.ones(3), 4, 0, "without replacement"),
        (torch.tensor([[1.0, 1, 1], [0, 1, 0]]), 2, 0, "n_sample:2 > 1 probabilities above 0"),
        (torch.tensor([1.0, -1.0]), 1, 1, "entry < 0"),
        (torch.tensor([1.0, float("nan")]), 1, 1, "entry < 0"),
        (torch.zeros(3), 1, 1, "sum of probabilities <= 0"),
    ],
)
def test_what_cannot_be_sampled_is_refused(module, p, n, replacement, text):
    with pytest.raises(torch.FatalError, match=text):
        module.draw(torch.LongTensor(), p.double(), n, replacement, 1)


def test_threads(module):
    assert module.threads(3) == 3
