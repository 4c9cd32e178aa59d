"""What transformers attend to: relevance of tokens, placed where they are in the image."""

from typing import Any


def le_grad(attention_grads: Any, placed: Any) -> Any:
    """LeGrad: how strongly attention to a place would raise the score, in every block of a transformer.

    The mean over blocks, heads and queries of relu(d s_l / d A_l), s_l the score as the head reads it off the tokens
    behind block l. Bousselham et al., LeGrad, 2024, section 3.
    """
    first, *others = (grads.clip(0).mean((1, 2)) for grads in attention_grads)
    for tokens in others:
        first = first + tokens
    return placed(first / len(attention_grads))


def attention_rollout(attentions: Any, read: Any, placed: Any) -> Any:
    """Attention rollout: how much of each place reaches the tokens that the scores read, by attention alone.

    The product over blocks of (mean over heads of A + I) / 2, seen from the class token, or from all tokens that are
    pooled. It hardly depends on the target. Abnar and Zuidema, Quantifying Attention Flow, 2020, section 3.
    """
    flow = (read / read.sum(1, keepdims=True))[:, None]
    for attention in reversed(attentions):
        flow = (flow @ attention.mean(1) + flow) / 2
    return placed(flow[:, 0])
