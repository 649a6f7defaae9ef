"""TH's convolutions against torch's conv2d and conv3d, and SciPy where steps are one."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from scipy import signal

SOURCE = """
#include <TH/TH.h>
#define CALL(NAME, ...) THDoubleTensor_##NAME(r, beta, alpha, t, k, __VA_ARGS__, vf, xc); break;
void conv2(THDoubleTensor *r, double beta, double alpha, THDoubleTensor *t, THDoubleTensor *k,
           long sr, long sc, const char *vf, const char *xc, int which) {
  switch (which) {
    case 0: CALL(conv2Dmul, sr, sc)
    case 1: CALL(conv2Dcmul, sr, sc)
    case 2: CALL(conv2Dger, sr, sc)
    case 3: CALL(conv2Dmv, sr, sc)
    case 4: CALL(conv2Dmm, sr, sc)
  }
}
void conv3(THDoubleTensor *r, double beta, double alpha, THDoubleTensor *t, THDoubleTensor *k,
           long st, long sr, long sc, const char *vf, const char *xc, int which) {
  switch (which) {
    case 0: CALL(conv3Dmul, st, sr, sc)
    case 1: CALL(conv3Dcmul, st, sr, sc)
    case 2: CALL(conv3Dger, st, sr, sc)
    case 3: CALL(conv3Dmv, st, sr, sc)
  }
}
void revger(THDoubleTensor *r, THDoubleTensor *t, THDoubleTensor *k, long sr, long sc, int batch) {
  if (batch) THDoubleTensor_conv2DRevgerm(r, 0, 1, t, k, sr, sc);
  else THDoubleTensor_conv2DRevger(r, 0, 1, t, k, sr, sc);
}
void revger3(THDoubleTensor *r, THDoubleTensor *t, THDoubleTensor *k, long st, long sr, long sc) {
  THDoubleTensor_conv3DRevger(r, 0, 1, t, k, st, sr, sc);
}
/* Of raw planes, as in the original's loops: two dimensions where there are two. */
#define OF(t) THDoubleTensor_data(t)
#define POINTER(NAME, REV) \
  if (t->nDimension == 2) \
    THDoubleTensor_##NAME##2D##REV##ptr(OF(r), 2, OF(t), t->size[0], t->size[1], OF(k), k->size[0], k->size[1], sr, sc); \
  else \
    THDoubleTensor_##NAME##3D##REV##ptr(OF(r), 2, OF(t), t->size[0], t->size[1], t->size[2], OF(k), k->size[0], \
                                        k->size[1], k->size[2], st, sr, sc); \
  break;
void pointers(THDoubleTensor *r, THDoubleTensor *t, THDoubleTensor *k, long st, long sr, long sc, int which) {
  switch (which) {
    case 0: POINTER(validXCorr, )
    case 1: POINTER(validConv, )
    case 2: POINTER(fullXCorr, )
    case 3: POINTER(fullConv, )
    case 4: POINTER(validXCorr, Rev)
  }
}
void integers(THIntTensor *r, THIntTensor *t, THIntTensor *k) {
  THIntTensor_conv2Dmul(r, 0, 1, t, k, 1, 1, "V", "X");
}
"""  # noqa: E501


@pytest.fixture(scope="module")
def conv(build_once):
    return build_once(None, SOURCE)


def one(t, k, steps, vf, xc):
    """A plane with a plane, by torch."""
    dimensions = list(range(t.dim()))
    convolve, transposed = (
        (F.conv2d, F.conv_transpose2d) if t.dim() == 2 else (F.conv3d, F.conv_transpose3d)
    )
    if vf == "V":
        k = k.flip(dimensions) if xc == "C" else k
        return convolve(t[None, None], k[None, None], stride=steps)[0, 0]
    k = k.flip(dimensions) if xc == "X" else k
    return transposed(t[None, None], k[None, None], stride=steps)[0, 0]


def expected(t, k, steps, vf, xc, which):
    def with_(a, b):
        return one(a, b, steps, vf, xc)

    if which == 0:
        return with_(t, k)
    if which == 1:
        return torch.stack([with_(a, b) for a, b in zip(t, k, strict=True)])
    if which == 2:
        return torch.stack([torch.stack([with_(a, b) for a in t]) for b in k])
    if which == 3:
        return torch.stack([sum(with_(a, b) for a, b in zip(t, row, strict=True)) for row in k])
    return torch.stack([expected(x, k, steps, vf, xc, 3) for x in t])


@pytest.mark.parametrize("which", range(5))
@pytest.mark.parametrize("vf", ["V", "F"])
@pytest.mark.parametrize("xc", ["X", "C"])
def test_two_dimensions(conv, which, vf, xc):
    t_shape = [(7, 8), (3, 7, 8), (3, 7, 8), (3, 7, 8), (2, 3, 7, 8)][which]
    k_shape = [(3, 2), (3, 3, 2), (4, 3, 2), (4, 3, 3, 2), (4, 3, 3, 2)][which]
    t = torch.rand(*t_shape, dtype=torch.float64).transpose(-1, -2).contiguous().transpose(-1, -2)
    k = torch.rand(*k_shape, dtype=torch.float64)
    for steps in ((1, 1), (2, 3)):
        want = expected(t, k, steps, vf, xc, which)
        r = torch.DoubleTensor()
        conv.conv2(r, 0.0, 2.0, t, k, *steps, vf.encode(), xc.encode(), which)
        torch.testing.assert_close(r, 2 * want)
        conv.conv2(r, 0.5, 1.0, t, k, *steps, vf.encode(), xc.encode(), which)
        torch.testing.assert_close(r, 2 * want)  # half of it, and once more


@pytest.mark.parametrize("which", range(4))
@pytest.mark.parametrize("vf", ["V", "F"])
def test_three_dimensions(conv, which, vf):
    t_shape = [(4, 5, 6), (2, 4, 5, 6), (2, 4, 5, 6), (2, 4, 5, 6)][which]
    k_shape = [(2, 3, 2), (2, 2, 3, 2), (3, 2, 3, 2), (3, 2, 2, 3, 2)][which]
    t, k = torch.rand(*t_shape, dtype=torch.float64), torch.rand(*k_shape, dtype=torch.float64)
    for xc in ("X", "C"):
        r = torch.DoubleTensor()
        conv.conv3(r, 0.0, 1.0, t, k, 1, 2, 2, vf.encode(), xc.encode(), which)
        torch.testing.assert_close(r, expected(t, k, (1, 2, 2), vf, xc, which))


def test_against_scipy(conv):
    t, k, r = (
        torch.rand(6, 7, dtype=torch.float64),
        torch.rand(3, 3, dtype=torch.float64),
        torch.DoubleTensor(),
    )
    conv.conv2(r, 0.0, 1.0, t, k, 1, 1, b"F", b"C", 0)
    torch.testing.assert_close(r, torch.from_numpy(signal.convolve2d(t.numpy(), k.numpy(), "full")))
    conv.conv2(r, 0.0, 1.0, t, k, 1, 1, b"V", b"X", 0)
    torch.testing.assert_close(
        r, torch.from_numpy(signal.correlate2d(t.numpy(), k.numpy(), "valid"))
    )


def test_reversed(conv):
    """r[j][i] = t[i] seen through k[j] spread by the steps: a dilated correlation."""
    t, k = torch.rand(2, 3, 9, 8, dtype=torch.float64), torch.rand(2, 4, 3, 2, dtype=torch.float64)
    r = torch.DoubleTensor()

    def want(a, b):
        return torch.stack(
            [
                torch.stack(
                    [F.conv2d(x[None, None], y[None, None], dilation=(2, 3))[0, 0] for x in a]
                )
                for y in b
            ]
        )

    conv.revger(r, t[0], k[0], 2, 3, 0)
    torch.testing.assert_close(r, want(t[0], k[0]))
    conv.revger(r, t, k, 2, 3, 1)
    torch.testing.assert_close(r, want(t[0], k[0]) + want(t[1], k[1]))

    t, k = torch.rand(2, 6, 9, 8, dtype=torch.float64), torch.rand(3, 2, 3, 2, dtype=torch.float64)
    conv.revger3(r, t, k, 1, 2, 3)
    torch.testing.assert_close(
        r, F.conv3d(t[:, None], k[:, None], dilation=(1, 2, 3)).transpose(0, 1)
    )


@pytest.mark.parametrize("shapes", [((9, 8), (3, 2)), ((6, 9, 8), (2, 3, 2))])
@pytest.mark.parametrize("which", range(5))
def test_raw_planes(conv, shapes, which):
    """r += 2 * (t with k)"""
    t, k = (torch.rand(shape, dtype=torch.float64) for shape in shapes)
    steps = (1, 2, 3)[-t.dim() :]
    if which < 4:
        want = one(t, k, steps, "VVFF"[which], "XCXC"[which])
    else:
        convolve = F.conv2d if t.dim() == 2 else F.conv3d
        want = convolve(t[None, None], k[None, None], dilation=steps)[0, 0]
    r = torch.ones_like(want)
    conv.pointers(r, t, k, 1, 2, 3, which)
    torch.testing.assert_close(r, 1 + 2 * want)


def test_integers(conv):
    t, k, r = (
        torch.randint(-9, 9, (5, 5)).int(),
        torch.randint(-9, 9, (2, 2)).int(),
        torch.IntTensor(),
    )
    conv.integers(r, t, k)
    want = F.conv2d(t.double()[None, None], k.double()[None, None])[0, 0]
    assert torch.equal(r.double(), want)


@pytest.mark.parametrize(
    ("which", "t", "k", "steps", "kinds", "text"),
    [
        (0, (5,), (2, 2), (1, 1), "VX", "input: 2D Tensor expected"),
        (0, (5, 5), (2,), (1, 1), "VX", "kernel: 2D Tensor expected"),
        (0, (5, 5), (2, 2), (0, 1), "VX", "Stride should be a positive integer"),
        (0, (5, 5), (2, 2), (1, 0), "VX", "Stride should be a positive integer"),
        (0, (5, 5), (2, 2), (1, 1), "QX", "'V' or 'F'"),
        (0, (5, 5), (2, 2), (1, 1), "VQ", "'X' or 'C'"),
        (0, (2, 3), (3, 3), (1, 1), "VX", "Input image is smaller than kernel"),
        (0, (3, 2), (3, 3), (1, 1), "VX", "Input image is smaller than kernel"),
        (1, (3, 5, 5), (2, 2, 2), (1, 1), "VX", "invalid number of input/kernel planes"),
        (3, (3, 5, 5), (4, 2, 2, 2), (1, 1), "VX", "invalid number of input planes"),
        (4, (1, 3, 5, 5), (4, 2, 2, 2), (1, 1), "VX", "invalid number of input planes"),
    ],
)
def test_what_does_not_fit_is_refused(conv, which, t, k, steps, kinds, text):
    r = torch.ones(3, dtype=torch.float64)
    with pytest.raises(torch.FatalError, match=text):
        conv.conv2(
            r,
            0,
            1,
            torch.rand(t).double(),
            torch.rand(k).double(),
            *steps,
            kinds[:1].encode(),
            kinds[1:].encode(),
            which,
        )
    assert r.tolist() == [1] * 3


def test_what_does_not_fit_reversed_is_refused(conv):
    r = torch.DoubleTensor()
    with pytest.raises(torch.FatalError, match="invalid number of input/kernel batches"):
        conv.revger(r, torch.rand(2, 3, 9, 8).double(), torch.rand(3, 4, 3, 2).double(), 1, 1, 1)
    with pytest.raises(torch.FatalError, match="smaller than kernel"):  # 3 places with a step of 4
        conv.revger(r, torch.rand(1, 8, 8).double(), torch.rand(1, 3, 3).double(), 4, 1, 0)
