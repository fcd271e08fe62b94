"""Calls of torch.nn modules, as calls of the functions that they stand for."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn.utils.parametrize import ParametrizationList, type_before_parametrizations

__all__ = ["Call", "UnknownLayerError", "function_call"]

Call = tuple[str, dict[str, Any], tuple[str, ...]]
"""Operation, its plain arguments, and the names of the weights that it takes."""


class UnknownLayerError(Exception):
    """A module that does not stand for a call of a function; the text says which."""


# Attributes of a module that are arguments of its function, by class; a weight is named with `@`,
# an argument of another name `argument=attribute`, and one that the class fixes `argument:value`.
_CONV = "@weight @bias stride padding dilation groups padding_mode"
_CONV_T = "@weight @bias stride padding output_padding groups dilation"
_MAX_POOL = "kernel_size stride padding dilation ceil_mode return_indices"
_AVG_POOL = "kernel_size stride padding ceil_mode count_include_pad"
_LP_POOL = "norm_type kernel_size stride ceil_mode"
_INSTANCE_NORM = "@running_mean @running_var @weight @bias eps track_running_stats"
_UPSAMPLE = "size scale_factor mode align_corners recompute_scale_factor"
_CONSTANT_PADS: tuple[type[nn.Module], ...] = (
    *(nn.ZeroPad1d, nn.ZeroPad2d, nn.ZeroPad3d),
    *(nn.ConstantPad1d, nn.ConstantPad2d, nn.ConstantPad3d),
)
_PADS: dict[str, tuple[type[nn.Module], ...]] = {
    "reflect": (nn.ReflectionPad1d, nn.ReflectionPad2d, nn.ReflectionPad3d),
    "replicate": (nn.ReplicationPad1d, nn.ReplicationPad2d, nn.ReplicationPad3d),
    "circular": (nn.CircularPad1d, nn.CircularPad2d, nn.CircularPad3d),
}
_TABLE: dict[type[nn.Module], tuple[str, str]] = {
    nn.Conv1d: ("conv1d", _CONV),
    nn.Conv2d: ("conv2d", _CONV),
    nn.Conv3d: ("conv3d", _CONV),
    nn.ConvTranspose1d: ("conv_transpose_module", _CONV_T),
    nn.ConvTranspose2d: ("conv_transpose_module", _CONV_T),
    nn.ConvTranspose3d: ("conv_transpose_module", _CONV_T),
    nn.Linear: ("linear", "@weight @bias"),
    nn.Bilinear: ("bilinear", "@weight @bias"),
    nn.BatchNorm1d: ("batch_norm", "@running_mean @running_var @weight @bias eps"),
    nn.BatchNorm2d: ("batch_norm", "@running_mean @running_var @weight @bias eps"),
    nn.BatchNorm3d: ("batch_norm", "@running_mean @running_var @weight @bias eps"),
    nn.LayerNorm: ("layer_norm", "normalized_shape @weight @bias eps"),
    nn.GroupNorm: ("group_norm", "num_groups @weight @bias eps"),
    nn.InstanceNorm1d: ("instance_norm_module", f"{_INSTANCE_NORM} rank:3"),
    nn.InstanceNorm2d: ("instance_norm_module", f"{_INSTANCE_NORM} rank:4"),
    nn.InstanceNorm3d: ("instance_norm_module", f"{_INSTANCE_NORM} rank:5"),
    nn.RMSNorm: ("rms_norm", "normalized_shape @weight eps"),
    nn.CosineSimilarity: ("cosine_similarity", "dim eps"),
    nn.PairwiseDistance: ("pairwise_distance", "p=norm eps keepdim"),
    nn.LocalResponseNorm: ("local_response_norm", "size alpha beta k"),
    nn.ReLU: ("relu", ""),
    nn.ReLU6: ("relu6", ""),
    nn.LeakyReLU: ("leaky_relu", "negative_slope"),
    nn.PReLU: ("prelu", "@weight"),
    nn.ELU: ("elu", "alpha"),
    nn.CELU: ("celu", "alpha"),
    nn.SELU: ("selu", ""),
    nn.GELU: ("gelu", "approximate"),
    nn.GLU: ("glu", "dim"),
    nn.SiLU: ("silu", ""),
    nn.Mish: ("mish", ""),
    nn.Sigmoid: ("sigmoid", ""),
    nn.LogSigmoid: ("logsigmoid", ""),
    nn.Hardsigmoid: ("hardsigmoid", ""),
    nn.Hardswish: ("hardswish", ""),
    nn.Hardtanh: ("hardtanh", "min_val max_val"),
    nn.Tanh: ("tanh", ""),
    nn.Tanhshrink: ("tanhshrink", ""),
    nn.Softplus: ("softplus", "beta threshold"),
    nn.Softsign: ("softsign", ""),
    nn.Threshold: ("threshold", "threshold value"),
    nn.Softmax: ("softmax", "dim"),
    nn.LogSoftmax: ("log_softmax", "dim"),
    nn.Softmin: ("softmin", "dim"),
    nn.Softmax2d: ("softmax2d", ""),
    nn.Hardshrink: ("hardshrink", "lambd"),
    nn.Softshrink: ("softshrink", "lambd"),
    nn.RReLU: ("rrelu", "lower upper"),
    nn.MaxPool1d: ("max_pool1d", _MAX_POOL),
    nn.MaxPool2d: ("max_pool2d", _MAX_POOL),
    nn.MaxPool3d: ("max_pool3d", _MAX_POOL),
    nn.AvgPool1d: ("avg_pool1d", _AVG_POOL),
    nn.AvgPool2d: ("avg_pool2d", f"{_AVG_POOL} divisor_override"),
    nn.AvgPool3d: ("avg_pool3d", f"{_AVG_POOL} divisor_override"),
    nn.AdaptiveAvgPool1d: ("adaptive_avg_pool1d", "output_size"),
    nn.AdaptiveAvgPool2d: ("adaptive_avg_pool2d", "output_size"),
    nn.AdaptiveAvgPool3d: ("adaptive_avg_pool3d", "output_size"),
    nn.AdaptiveMaxPool1d: ("adaptive_max_pool1d", "output_size return_indices"),
    nn.AdaptiveMaxPool2d: ("adaptive_max_pool2d", "output_size return_indices"),
    nn.AdaptiveMaxPool3d: ("adaptive_max_pool3d", "output_size return_indices"),
    nn.LPPool1d: ("lp_pool1d", _LP_POOL),
    nn.LPPool2d: ("lp_pool2d", _LP_POOL),
    nn.LPPool3d: ("lp_pool3d", _LP_POOL),
    nn.MaxUnpool1d: ("max_unpool1d", ""),
    nn.MaxUnpool2d: ("max_unpool2d", ""),
    nn.MaxUnpool3d: ("max_unpool3d", ""),
    nn.Flatten: ("flatten", "start_dim end_dim"),
    nn.Unflatten: ("unflatten", "dim unflattened_size"),
    nn.Unfold: ("unfold", "kernel_size dilation padding stride"),
    nn.Fold: ("fold", "output_size kernel_size dilation padding stride"),
    nn.Identity: ("identity", ""),
    nn.Dropout: ("dropout", ""),
    nn.Dropout1d: ("dropout", ""),
    nn.Dropout2d: ("dropout", ""),
    nn.Dropout3d: ("dropout", ""),
    nn.AlphaDropout: ("dropout", ""),
    nn.Upsample: ("interpolate", _UPSAMPLE),
    nn.UpsamplingNearest2d: ("interpolate", _UPSAMPLE),
    nn.UpsamplingBilinear2d: ("interpolate", _UPSAMPLE),
    nn.PixelShuffle: ("pixel_shuffle", "upscale_factor"),
    nn.ChannelShuffle: ("channel_shuffle", "groups"),
    nn.PixelUnshuffle: ("pixel_unshuffle", "downscale_factor"),
    **dict.fromkeys(_CONSTANT_PADS, ("pad", "pad=padding value")),
    **{
        cls: ("pad", f"pad=padding mode:{mode}")
        for mode, classes in _PADS.items()
        for cls in classes
    },
    nn.Embedding: ("embedding", "@weight padding_idx max_norm"),
    nn.EmbeddingBag: (
        "embedding_bag_module",
        "@weight max_norm mode include_last_offset padding_idx",
    ),
    nn.LSTM: ("lstm", "module"),
    nn.GRU: ("gru", "module"),
    nn.RNN: ("rnn", "module"),
    nn.LSTMCell: ("lstm_cell", "module"),
    nn.GRUCell: ("gru_cell", "module"),
    nn.RNNCell: ("rnn_cell", "module"),
    ParametrizationList: ("parametrized_weight", "module"),
    nn.MultiheadAttention: ("multihead_attention", "module"),
    nn.TransformerEncoderLayer: ("transformer_encoder_layer", "module"),
    nn.TransformerEncoder: ("transformer_encoder", "module"),
    nn.TransformerDecoderLayer: ("transformer_decoder_layer", "module"),
    nn.TransformerDecoder: ("transformer_decoder", "module"),
    nn.Transformer: ("transformer", "module"),
}


def function_call(module: nn.Module) -> Call:
    """Return the function call that a leaf module stands for, without its inputs.

    Raises:
        UnknownLayerError: The class is not in the table; a subclass may do anything in its forward.
    """
    cls = type_before_parametrizations(module)
    if cls not in _TABLE:
        raise UnknownLayerError(f"the module class {cls.__name__}")
    if module._forward_hooks or module._forward_pre_hooks:
        raise UnknownLayerError("a module with a forward hook")
    if "forward" in vars(module):
        raise UnknownLayerError("a module with a forward of its own")
    op, names = _TABLE[cls]
    plain: dict[str, Any] = {}
    weights: list[str] = []
    for name in names.split():
        if name.startswith("@"):
            weights.append(name[1:])
        elif name == "module":
            plain["module"] = module
        elif ":" in name:
            argument, _, value = name.partition(":")
            plain[argument] = value
        else:
            argument, _, attribute = name.partition("=")
            plain[argument] = getattr(module, attribute or argument)
    return op, plain, tuple(weights)
