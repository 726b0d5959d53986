"""Compiled kernels, in the table of backends; imported only where `set_compiled` asks for them."""

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
