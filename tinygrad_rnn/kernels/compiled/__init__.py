"""What Numba compiles of the kernels; imported only where `set_compiled` asks for it.

A cell a file, as in `plain/`. All of it is entered by the `door`, which checks what it is given; `kept` reads again
what was compiled before; `packed` has the products with weights that were packed once, `primitives` the rest of what
compiled steps are made of, and `parts_of_numba` all that is taken from Numba.
"""

from ..kernel import Backend
from ..plain import additive, masks
from ..plain import products as plain_products
from . import gru, linear, lstm, products, rnn, softmax_cross_entropy

COMPILED = Backend(
    rnn_forward_steps=rnn.forward_steps,
    rnn_backward_steps=rnn.backward_steps,
    lstm_forward_steps=lstm.forward_steps,
    lstm_backward_steps=lstm.backward_steps,
    lstm_step=lstm.step,
    gru_forward_steps=gru.forward_steps,
    gru_backward_steps=gru.backward_steps,
    gru_step=gru.step,
    linear_forward_steps=linear.forward_steps,
    linear_backward_steps=linear.backward_steps,
    by_gate=plain_products.by_gate,
    empty_gates=plain_products.empty_gates,
    projection=products.projection,
    add_product=plain_products.add_product,
    look_up=products.look_up,
    add_by_id=products.add_by_id,
    softmax_forward=softmax_cross_entropy.forward,
    softmax_backward=softmax_cross_entropy.backward,
    additive_scores=additive.additive_scores,
    additive_backward=additive.additive_backward,
    random_mask=masks.random_mask,
    cross_entropy=None,
    optimizer_step=None,
)
