import numpy as np
from drawing.window_figures import chain_macs, draw_sampling, draw_windows, grow_fields
from flax import nnx

from strideflax.operators.pool import MaxPool
from strideflax.operators.receptive_field import Field
from strideflax.operators.strided import StridedConv


def test_costs_add_up_along_a_chain():
    dense = nnx.eval_shape(lambda: StridedConv(4, 8, stride=1, rngs=nnx.Rngs(0)))
    convolution = 9 * 4 * 8
    assert chain_macs([dense, MaxPool(8)], (16, 12)) == 16 * 12 * convolution + 8 * 6 * 4 * 8
    assert chain_macs([MaxPool(4), dense], (16, 12)) == 8 * 6 * 4 * 4 + 8 * 6 * convolution


def test_a_stride_widens_what_later_layers_see():
    assert [field.size for field in grow_fields([(3, 2), (3, 1), (3, 1)])] == [3, 7, 11]
    assert grow_fields([(3, 1), (5, 2)]) == [Field(3, 1, 0.0), Field(7, 2, 0.0)]


def test_dots_stand_on_the_window_centres():
    figure = draw_sampling(8, {"same": (3, 2, "SAME"), "symmetric": (3, 2, "SYMMETRIC")})
    dots = [line.get_xdata().tolist() for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert dots == [[1, 3, 5, 7], [0, 2, 4, 6]]


def test_outputs_are_written_into_their_cells():
    figure = draw_windows(np.arange(9.0).reshape(3, 3), 3, {1: np.array([[6.93]])})
    assert [text.get_text() for text in figure.axes[1].texts] == ["6.93"]
