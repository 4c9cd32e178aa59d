"""Small vision transformers with random weights, in spellings that no shared model has."""

import numpy as np
import onnx

from real_models import small

rng = np.random.default_rng(7)


def weight(*shape: int) -> np.ndarray:
    return (rng.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32)


def registers() -> onnx.ModelProto:
    """Patches by space-to-depth and a matrix; a class token and two registers before them, one token behind them."""
    block = """
      {b}n = LayerNormalization({a}, one, zero) {b}q = MatMul({b}n, wq) {b}k = MatMul({b}n, wk) {b}v = MatMul({b}n, wv)
      {b}t = Transpose<perm = [0, 2, 1]>({b}k) {b}s = MatMul({b}q, {b}t) {b}p = Softmax<axis = -1>({b}s)
      {b}o = MatMul({b}p, {b}v) {b}r = Add({a}, {b}o) {b}m = LayerNormalization({b}r, one, zero) {b}h = MatMul({b}m, wh)
      {b}g = Gelu({b}h) {b}f = MatMul({b}g, wf) {b}y = Add({b}r, {b}f)"""
    return small(
        f"""g (float[N,3,12,16] x) => (float[N,5] y) {{
      a = Reshape(x, patches) b = Transpose<perm = [0, 2, 4, 3, 5, 1]>(a) c = Reshape(b, rows) d = MatMul(c, wp)
      size = Shape<start = 0, end = 1>(x) n = Concat<axis = 0>(size, rest) before = Expand(first, n)
      m = Concat<axis = 0>(size, alone) behind = Expand(last, m) e = Concat<axis = 1>(before, d, behind) f = Add(e, pos)
      {block.format(a="f", b="b0")} {block.format(a="b0y", b="b1")}
      z = LayerNormalization(b1y, one, zero) i = Gather<axis = 1>(z, which) y = MatMul(i, wy) }}""",
        patches=np.array([0, 3, 3, 4, 4, 4]),
        rows=np.array([0, 12, 48]),
        rest=np.array([3, 8]),
        alone=np.array([1, 8]),
        first=weight(1, 3, 8),
        last=weight(1, 1, 8),
        pos=weight(1, 16, 8),
        which=np.array(0),
        **{name: weight(*shape) for name, shape in SHAPES.items()},
        one=np.ones(8, np.float32),
        zero=np.zeros(8, np.float32),
    )


SHAPES = {"wp": (48, 8), "wq": (8, 8), "wk": (8, 8), "wv": (8, 8), "wh": (8, 16), "wf": (16, 8), "wy": (8, 5)}


def windows() -> onnx.ModelProto:
    """Windows of 4x4 tokens on a grid of 8x8 rolled by two and put back, patches merged by two, the mean pooled."""
    return small(
        """g (float[N,3,16,16] x) => (float[N,5] y) {
      a = Conv<strides = [2, 2]>(x, wp) b = Reshape(a, flat) c = Transpose<perm = [0, 2, 1]>(b)
      n = LayerNormalization(c, one, zero) d = Reshape(n, grid)
      up = Slice(d, two, far, rows) down = Slice(d, nought, two, rows) e = Concat<axis = 1>(up, down)
      left = Slice(e, two, far, columns) right = Slice(e, nought, two, columns) f = Concat<axis = 2>(left, right)
      g = Reshape(f, parts) h = Transpose<perm = [0, 1, 3, 2, 4, 5]>(g) w = Reshape(h, windows)
      q = MatMul(w, wq) k = MatMul(w, wk) v = MatMul(w, wv) t = Transpose<perm = [0, 2, 1]>(k) s = MatMul(q, t)
      p = Softmax<axis = -1>(s) o = MatMul(p, v) i = Reshape(o, apart) j = Transpose<perm = [0, 1, 3, 2, 4, 5]>(i)
      l = Reshape(j, grid) lower = Slice(l, minustwo, far, rows) upper = Slice(l, nought, minustwo, rows)
      m = Concat<axis = 1>(lower, upper) r0 = Slice(m, minustwo, far, columns) r1 = Slice(m, nought, minustwo, columns)
      r = Concat<axis = 2>(r0, r1) back = Reshape(r, line) res = Add(c, back) u = Reshape(res, grid)
      u0 = Slice(u, oo, ff, both, steps) u1 = Slice(u, io, ff, both, steps) u2 = Slice(u, oi, ff, both, steps)
      u3 = Slice(u, ii, ff, both, steps) cat = Concat<axis = -1>(u0, u1, u2, u3) row = Reshape(cat, merged)
      ln = LayerNormalization(row, one4, zero4) red = MatMul(ln, wr) z = LayerNormalization(red, one2, zero2)
      pool = ReduceMean<keepdims = 0>(z, rows) y = MatMul(pool, wy) }""",
        wp=weight(8, 3, 2, 2),
        flat=np.array([0, 8, 64]),
        grid=np.array([-1, 8, 8, 8]),
        parts=np.array([-1, 2, 4, 2, 4, 8]),
        windows=np.array([-1, 16, 8]),
        apart=np.array([-1, 2, 2, 4, 4, 8]),
        line=np.array([-1, 64, 8]),
        merged=np.array([-1, 16, 32]),
        **{name: np.array([value]) for name, value in STARTS.items()},
        **{name: np.array(value) for name, value in CORNERS.items()},
        **{name: weight(8, 8) for name in ("wq", "wk", "wv")},
        wr=weight(32, 16),
        wy=weight(16, 5),
        **{f"one{n}": np.ones(size, np.float32) for n, size in (("", 8), ("2", 16), ("4", 32))},
        **{f"zero{n}": np.zeros(size, np.float32) for n, size in (("", 8), ("2", 16), ("4", 32))},
    )


STARTS = {"two": 2, "minustwo": -2, "nought": 0, "far": 1 << 40, "rows": 1, "columns": 2}
CORNERS = {
    "oo": [0, 0], "io": [1, 0], "oi": [0, 1], "ii": [1, 1], "ff": [1 << 40] * 2, "both": [1, 2], "steps": [2, 2],
}  # fmt: skip
